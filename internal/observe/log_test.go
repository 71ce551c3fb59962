package observe

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

func TestLogLineIsOneJSONObjectWithUTCTime(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger("info", "json", &out)
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("below the level")
	log.Info("waiting", zap.Duration("wait", 1500*time.Millisecond))
	var line struct{ Level, Msg, TS, Wait string }
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("got %v parsing %s, want one JSON object", err, &out)
	}
	at, err := time.Parse(time.RFC3339Nano, line.TS)
	if err != nil || !strings.HasSuffix(line.TS, "Z") || time.Since(at).Abs() > time.Hour {
		t.Errorf("got time %q (%v), want the current UTC time in RFC 3339", line.TS, err)
	}
	if line.Level != "info" || line.Msg != "waiting" || line.Wait != "1.5s" {
		t.Errorf("got %+v, want level info, msg waiting and wait 1.5s", line)
	}
}

func TestLogIsNotSampled(t *testing.T) {
	for _, format := range []string{"json", "console"} {
		var out bytes.Buffer
		log, err := NewLogger("debug", format, &out)
		if err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			log.Error("repeated")
		}
		if n := strings.Count(out.String(), "repeated"); n != 1000 {
			t.Errorf("%s: got %d lines, want 1000", format, n)
		}
	}
}

func TestUnknownLevelOrFormatIsNamedInTheError(t *testing.T) {
	for _, c := range []struct {
		level, format, value string
		want                 error
	}{
		{"", "json", `""`, ErrLogLevel},
		{"fatal", "json", `"fatal"`, ErrLogLevel},
		{"info", "xml", `"xml"`, ErrLogFormat},
	} {
		_, err := NewLogger(c.level, c.format, &bytes.Buffer{})
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.value) {
			t.Errorf("level %q, format %q: got %v, want %v naming %s", c.level, c.format, err, c.want, c.value)
		}
	}
}
