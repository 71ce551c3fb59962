package settle

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"sluice/internal/record"
	"sluice/internal/sink"
)

func drawOrigin(t *rapid.T) sink.Origin {
	return sink.Origin{
		Topic:     rapid.StringMatching(`[a-z.]{1,249}`).Draw(t, "topic"),
		TopicID:   [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")),
		Partition: rapid.Int32Min(0).Draw(t, "partition"),
		Offset:    rapid.Int64Min(0).Draw(t, "offset"),
		Timestamp: drawTime(t, "timestamp"),
	}
}

func drawTime(t *rapid.T, label string) time.Time {
	return time.UnixMilli(rapid.Int64Range(0, 4_000_000_000_000).Draw(t, label)).UTC()
}

func drawOutcome(t *rapid.T) record.Outcome {
	rec := &record.Record{
		Raw: &kgo.Record{Headers: []kgo.RecordHeader{}}, Origin: drawOrigin(t), WriterID: "writer",
		Replays: rapid.IntRange(0, 5).Draw(t, "replays"), FirstFailed: drawTime(t, "first failed"),
	}
	for range rapid.IntRange(0, 4).Draw(t, "headers") {
		known := rapid.SampledFrom([]string{
			record.HeaderAttempt, record.HeaderSends, record.HeaderVendorCode, "sluice.tenant", connectTopic,
		})
		rec.Raw.Headers = append(rec.Raw.Headers, kgo.RecordHeader{
			Key:   rapid.OneOf(rapid.String(), known).Draw(t, "name"),
			Value: rapid.SliceOf(rapid.Byte()).Draw(t, "header"),
		})
	}
	longText := rapid.Custom(func(t *rapid.T) string {
		text := rapid.String().Draw(t, "text") + string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		return strings.Repeat(text, rapid.IntRange(1, 100).Draw(t, "times"))
	})
	dispositions := []record.Disposition{record.DispositionRetried, record.DispositionDead}
	return record.Outcome{
		Record: rec, OperationName: "crmcom.purchases",
		Disposition: rapid.SampledFrom(dispositions).Draw(t, "disposition"),
		Cause:       record.CauseRetryable, Stage: record.StageDeliver, Reason: longText.Draw(t, "reason"),
		Attempt: rapid.IntRange(1, 100).Draw(t, "attempt"), Sends: rapid.IntRange(0, 11).Draw(t, "sends"),
		Delay: time.Duration(rapid.Int64Range(1, int64(24*time.Hour)).Draw(t, "delay")),
		Result: sink.Result{
			Status: 200, Code: longText.Draw(t, "code"), Message: longText.Draw(t, "message"),
			RequestID: longText.Draw(t, "request id"),
		},
	}
}

// The next owner reads back the exact origin, attempts and times of a record, whatever the vendor
// responded and whatever headers the record had.
func TestHeadersAreReadBackAsWritten(t *testing.T) {
	s := &Settler{cfg: Config{ConnectorName: "sluice.purchases"}}
	rapid.Check(t, func(t *rapid.T) {
		o, now := drawOutcome(t), drawTime(t, "now")
		want := record.RetryHeaders{
			Origin: o.Record.Origin, OperationName: o.OperationName, Attempt: o.Attempt, Replays: o.Record.Replays,
			FirstFailed: o.Record.FirstFailed,
		}
		if o.Disposition == record.DispositionRetried {
			want.NotBefore, want.WriterID, want.Sends = now.Add(o.Delay), o.Record.WriterID, o.Sends
		}
		if got := record.ParseRetryHeaders(&kgo.Record{Headers: s.outgoingHeaders(o, now)}); got != want {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
	})
}

func TestEachHeaderIsBoundedUTF8AndOccursOnce(t *testing.T) {
	s := &Settler{cfg: Config{ConnectorName: "sluice.purchases"}}
	rapid.Check(t, func(t *rapid.T) {
		o := drawOutcome(t)
		seen := map[string]bool{}
		for _, h := range s.outgoingHeaders(o, drawTime(t, "now"))[len(originalHeaders(o)):] {
			if seen[h.Key] || len(h.Value) > maxHeaderBytes || !utf8.Valid(h.Value) {
				t.Fatalf("header %s (seen before: %t): got %d bytes %q", h.Key, seen[h.Key], len(h.Value), h.Value)
			}
			seen[h.Key] = true
		}
		for _, h := range originalHeaders(o) {
			if seen[h.Key] {
				t.Fatalf("header %s occurs twice", h.Key)
			}
		}
	})
}

func TestLongValueIsTruncatedBetweenRunes(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"short":           {"né", "né"},
		"exactly full":    {strings.Repeat("x", maxHeaderBytes), strings.Repeat("x", maxHeaderBytes)},
		"too long":        {strings.Repeat("x", maxHeaderBytes+1), strings.Repeat("x", maxHeaderBytes)},
		"a rune is split": {strings.Repeat("x", maxHeaderBytes-1) + "€", strings.Repeat("x", maxHeaderBytes-1)},
		"no text at all":  {"a\xffb", "ab"},
	} {
		if got := truncateValue(test.in); got != test.want {
			t.Errorf("%s: got %d bytes that end in %q, want %d bytes",
				name, len(got), got[max(0, len(got)-4):], len(test.want))
		}
	}
}
