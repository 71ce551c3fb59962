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
		Topic: rapid.StringMatching(`[a-z.]{1,249}`).Draw(t, "topic"), TopicID: [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")),
		Partition: rapid.Int32Min(0).Draw(t, "partition"), Offset: rapid.Int64Min(0).Draw(t, "offset"), Timestamp: drawTime(t, "timestamp"),
	}
}

func drawTime(t *rapid.T, label string) time.Time {
	return time.UnixMilli(rapid.Int64Range(0, 4_000_000_000_000).Draw(t, label)).UTC()
}

func drawOutcome(t *rapid.T) record.Outcome {
	rec := &record.Record{
		Raw: &kgo.Record{Headers: []kgo.RecordHeader{}}, Origin: drawOrigin(t), WriterID: "writer", Replays: rapid.IntRange(0, 5).Draw(t, "replays"),
		FirstFailed: drawTime(t, "first failed"),
	}
	for range rapid.IntRange(0, 4).Draw(t, "headers") {
		key := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{record.HeaderAttempt, record.HeaderVendorCode, "sluice.tenant", connectTopic})).Draw(t, "name")
		rec.Raw.Headers = append(rec.Raw.Headers, kgo.RecordHeader{Key: key, Value: rapid.SliceOf(rapid.Byte()).Draw(t, "header")})
	}
	long := rapid.Custom(func(t *rapid.T) string {
		return strings.Repeat(rapid.String().Draw(t, "text")+string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")), rapid.IntRange(1, 100).Draw(t, "times"))
	})
	return record.Outcome{
		Record: rec, OperationName: "crmcom.purchases", Disposition: rapid.SampledFrom([]record.Disposition{record.DispositionRetry, record.DispositionDead}).Draw(t, "kind"),
		Cause: record.CauseRetryable, Stage: record.StageDeliver, Reason: long.Draw(t, "reason"), Attempt: rapid.IntRange(1, 100).Draw(t, "attempt"),
		Delay:  time.Duration(rapid.Int64Range(1, int64(24*time.Hour)).Draw(t, "delay")),
		Result: sink.Result{Status: 200, Code: long.Draw(t, "code"), Message: long.Draw(t, "message"), RequestID: long.Draw(t, "request id")},
	}
}

// Whatever a vendor says and whatever stood on the record: the next reader gets its origin, its attempts and its times exactly.
func TestWhatIsWrittenInHeadersIsReadBack(t *testing.T) {
	s := &Settler{cfg: Config{ConnectorName: "sluice.purchases"}}
	rapid.Check(t, func(t *rapid.T) {
		o, now := drawOutcome(t), drawTime(t, "now")
		want := record.RetryHeaders{
			Origin: o.Record.Origin, OperationName: o.OperationName, Attempt: o.Attempt, Replays: o.Record.Replays, FirstFailed: o.Record.FirstFailed,
		}
		if o.Disposition == record.DispositionRetry {
			want.NotBefore, want.WriterID = now.Add(o.Delay), o.Record.WriterID
		}
		if got := record.ParseRetryHeaders(&kgo.Record{Headers: s.headers(o, now)}); got != want {
			t.Fatalf("read back %+v\nwant      %+v", got, want)
		}
	})
}

func TestAHeaderIsShortTextAndStandsOnce(t *testing.T) {
	s := &Settler{cfg: Config{ConnectorName: "sluice.purchases"}}
	rapid.Check(t, func(t *rapid.T) {
		o := drawOutcome(t)
		seen := map[string]bool{}
		for _, h := range s.headers(o, drawTime(t, "now"))[len(original(o)):] {
			if seen[h.Key] || len(h.Value) > maxHeader || !utf8.Valid(h.Value) {
				t.Fatalf("header %s (again: %t) has %d bytes: %q", h.Key, seen[h.Key], len(h.Value), h.Value)
			}
			seen[h.Key] = true
		}
		for _, h := range original(o) {
			if seen[h.Key] {
				t.Fatalf("header %s stands twice", h.Key)
			}
		}
	})
}

func TestALongTextIsCutBetweenTwoRunes(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"short":          {"né", "né"},
		"exactly full":   {strings.Repeat("x", maxHeader), strings.Repeat("x", maxHeader)},
		"too long":       {strings.Repeat("x", maxHeader+1), strings.Repeat("x", maxHeader)},
		"a rune is cut":  {strings.Repeat("x", maxHeader-1) + "€", strings.Repeat("x", maxHeader-1)},
		"no text at all": {"a\xffb", "ab"},
	} {
		if got := cut(test.in); got != test.want {
			t.Errorf("%s: cut to %d bytes that end in %q", name, len(got), got[max(0, len(got)-4):])
		}
	}
}
