package decode

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// doublingSchema returns a record of n types that each contain the previous one twice: 2^n types
// that occupy no bytes.
func doublingSchema(n int) string {
	fields := []string{`{"name":"f0","type":{"type":"record","name":"R0","fields":[]}}`}
	for i := 1; i < n; i++ {
		fields = append(fields, fmt.Sprintf(`{"name":"f%d","type":{"type":"record","name":"R%[1]d","fields":[`+
			`{"name":"a","type":"R%[2]d"},{"name":"b","type":"R%[2]d"}]}}`, i, i-1))
	}
	return fmt.Sprintf(`{"type":"record","name":"Empty","fields":[%s]}`, strings.Join(fields, ","))
}

func TestSchemaWithTooManyTypesIsPoison(t *testing.T) {
	for name, schema := range map[string]string{
		"by names": doublingSchema(60),
		"by length": `{"type":"record","name":"Empty","fields":[{"name":"f","type":` +
			strings.Repeat(`{"type":"array","items":`, 900) + `"null"` + strings.Repeat("}", 900) + `}` +
			manyFields(maxTypes) + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			d := newTestDecoder(t, Config{}, emptyReaders(t), schema)
			_, err := d.Decode(t.Context(), "topic", wireFormat(1, nil))
			var poison *PoisonError
			if !errors.As(err, &poison) || !strings.Contains(poison.Reason, "more than 10000 types") {
				t.Errorf("got error %v, want a *PoisonError with the allowed number of types", err)
			}
		})
	}
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,{"name":"n%d","type":"null"}`, i)
	}
	return b.String()
}

func TestTypesOfReferencesCount(t *testing.T) {
	fake := srfake.New()
	t.Cleanup(fake.Close)
	fake.SeedSchema("s0", 1, 1, sr.Schema{Schema: `{"type":"record","name":"R0","fields":[]}`})
	const n = 60
	for i := 1; i <= n; i++ {
		name := fmt.Sprintf("R%d", i)
		if i == n {
			name = "Empty"
		}
		before := fmt.Sprintf("R%d", i-1)
		fake.SeedSchema(fmt.Sprintf("s%d", i), 1, i+1, sr.Schema{
			Schema: fmt.Sprintf(
				`{"type":"record","name":%q,"fields":[{"name":"a","type":%q},{"name":"b","type":%[2]q}]}`, name, before),
			References: []sr.SchemaReference{{Name: before, Subject: fmt.Sprintf("s%d", i-1), Version: 1}},
		})
	}
	d := newEmptyDecoder(t, Config{URLs: []string{fake.URL()}})
	_, err := d.Decode(t.Context(), "topic", wireFormat(n+1, nil))
	var poison *PoisonError
	if !errors.As(err, &poison) || !strings.Contains(poison.Reason, "more than 10000 types") {
		t.Errorf("got error %v, want a *PoisonError with the allowed number of types", err)
	}
}

func TestRecursiveSchemaIsAccepted(t *testing.T) {
	const list = `{"type":"record","name":"Empty","fields":[
		{"name":"list","type":["null",{"type":"record","name":"a.Node","fields":[
		{"name":"next","type":["null","a.Node"]},{"name":"other","type":["null","a.Node"]},
		{"name":"all","type":{"type":"map","values":"a.Node"}}]}]}]}`
	d := newTestDecoder(t, Config{}, emptyReaders(t), list, doublingSchema(10))
	node := []byte{2, 0, 0, 0}
	if _, err := d.Decode(t.Context(), "topic", wireFormat(1, append([]byte{2}, append(node, 0, 0)...))); err != nil {
		t.Errorf("list of two: got error %v, want none", err)
	}
	if _, err := d.Decode(t.Context(), "topic", wireFormat(2, nil)); err != nil {
		t.Errorf("ten names that refer to each other: got error %v, want none", err)
	}
}

// The item count in a record must not allocate memory before the items have been read.
func TestCountBeyondTheRecordIsPoisonAtOnce(t *testing.T) {
	count := []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40} // 2^61
	deep := []byte(strings.Repeat("\x02", 1<<20))
	for name, test := range map[string]struct {
		field string
		body  []byte
	}{
		"items of no bytes":      {`{"type":"array","items":"null"}`, append(count, 0)},
		"records of no bytes":    {`{"type":"array","items":{"type":"record","name":"Z","fields":[]}}`, append(count, 0)},
		"items":                  {`{"type":"array","items":"long"}`, append(count, 0)},
		"entries":                {`{"type":"map","values":"null"}`, append(count, 0)},
		"bytes":                  {`"bytes"`, append(count, 0)},
		"a string":               {`"string"`, append(count, 0)},
		"deeply nested list":     {`["null",{"type":"record","name":"N","fields":[{"name":"n","type":["null","N"]}]}]`, deep},
		"deeply nested arrays":   {`{"type":"record","name":"N","fields":[{"name":"n","type":{"type":"array","items":"N"}}]}`, deep},
		"infinite record":        {`{"type":"record","name":"N","fields":[{"name":"n","type":"N"}]}`, deep},
		"infinite record of two": {`{"type":"record","name":"N","fields":[{"name":"n","type":"N"},{"name":"m","type":"N"}]}`, deep},
	} {
		t.Run(name, func(t *testing.T) {
			schema := `{"type":"record","name":"Empty","fields":[{"name":"f","type":` + test.field + `}]}`
			d := newTestDecoder(t, Config{}, emptyReaders(t), schema)
			_, err := d.Decode(t.Context(), "topic", wireFormat(1, test.body))
			var poison *PoisonError
			if !errors.As(err, &poison) {
				t.Errorf("got error %v, want a *PoisonError", err)
			}
		})
	}
}
