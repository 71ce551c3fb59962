package expoints

import (
	"encoding/base64"
	"strconv"
	"time"

	"sluice/internal/event"
	"sluice/internal/sink"
	"sluice/internal/sink/jsonwriter"
)

// encoder writes the JSON of one item or envelope. Absent fields are omitted.
type encoder struct {
	*jsonwriter.Writer
	zone *time.Location // of all instants
}

// newEncoder returns an encoder that reports these violations before its own.
func newEncoder(zone *time.Location, violations []sink.Violation) encoder {
	e := encoder{Writer: jsonwriter.New(512), zone: zone}
	e.AddViolations(violations...)
	return e
}

// writeInstant writes an instant in RFC 3339 with at most 7 fractional digits: a .NET DateTime has
// a resolution of 100 ns.
func (e encoder) writeInstant(name string, instant *time.Time) {
	if instant == nil {
		return
	}
	t := instant.In(e.zone)
	// RFC 3339 offsets have no seconds, but those of local mean time do.
	if _, offset := t.Zone(); offset%60 != 0 {
		t = t.UTC()
	}
	e.Time(name, t, "2006-01-02T15:04:05.9999999Z07:00")
}

func (e encoder) writeGUID(name string, guid *string) {
	if guid == nil {
		return
	}
	if !isGUID(*guid) {
		e.AddViolation(name, "must be a globally unique identifier, 8-4-4-4-12 hexadecimal digits")
	}
	e.Text(name, *guid)
}

func (e encoder) writeBase64(name string, data *[]byte) {
	if data == nil {
		return
	}
	e.Value(name, func(b []byte) []byte {
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, *data)
		return append(b, '"')
	})
}

func (e encoder) writeInts(name string, numbers []int32) {
	if numbers == nil {
		return
	}
	e.Value(name, func(b []byte) []byte {
		b = append(b, '[')
		for i, number := range numbers {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendInt(b, int64(number), 10)
		}
		return append(b, ']')
	})
}

// writeDataRow writes the members of a customer data row.
func (e encoder) writeDataRow(row *event.ExpointsData) {
	e.OptionalInt("CustomerDataColumnId", row.CustomerDataColumnId)
	if row.Name != "" {
		e.Text("Name", row.Name)
	}
	e.Text("Value", row.Value)
	e.OptionalBool("IsEncrypted", row.IsEncrypted)
	e.OptionalText("CertificateThumbprint", row.CertificateThumbprint)
	e.OptionalText("EncryptionKey", row.EncryptionKey)
}

// writeScalePosition writes the members of a ScalePosition.
func (e encoder) writeScalePosition(position *event.ExpointsScalePosition) {
	e.OptionalInt("Id", position.Id)
	e.OptionalText("Label", position.Label)
	e.OptionalInt("Value", position.Value)
	e.OptionalInt("Ranking", position.Ranking)
}

// writeFileAnswer writes the members of a FileAnswer.
func (e encoder) writeFileAnswer(file *event.ExpointsFileAnswer) {
	e.OptionalInt("Id", file.Id)
	e.OptionalInt("AnswerId", file.AnswerId)
	e.OptionalText("FileName", file.FileName)
	e.OptionalInt("FileSize", file.FileSize)
	e.OptionalText("FileType", file.FileType)
	e.writeBase64("Data", file.Data)
	e.OptionalBool("IsEncrypted", file.IsEncrypted)
	e.OptionalText("CertificateThumbprint", file.CertificateThumbprint)
	e.OptionalText("EncryptionKey", file.EncryptionKey)
}

// isGUID reports whether the text is a GUID in its usual form, such as
// 2ec40570-e563-45eb-9c25-4dec09dee46b.
func isGUID(text string) bool {
	if len(text) != 36 {
		return false
	}
	for i := range len(text) {
		c := text[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return true
}
