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

func TestALineIsOneJSONObjectWithItsTimeInUTC(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger("info", "json", &out)
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("left out")
	log.Info("waiting", zap.Duration("wait", 1500*time.Millisecond))
	var line struct{ Level, Msg, TS, Wait string }
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in %s", err, &out)
	}
	at, err := time.Parse(time.RFC3339Nano, line.TS)
	if err != nil || !strings.HasSuffix(line.TS, "Z") || time.Since(at).Abs() > time.Hour {
		t.Errorf("time %q: %v", line.TS, err)
	}
	if line.Level != "info" || line.Msg != "waiting" || line.Wait != "1.5s" {
		t.Errorf("got %+v", line)
	}
}

func TestEachLineIsThere(t *testing.T) {
	for _, format := range []string{"json", "console"} {
		var out bytes.Buffer
		log, err := NewLogger("debug", format, &out)
		if err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			log.Error("the same again")
		}
		if n := strings.Count(out.String(), "the same again"); n != 1000 {
			t.Errorf("%s: %d lines, want 1000", format, n)
		}
	}
}

func TestALevelOrFormatThatDoesNotExistIsNamed(t *testing.T) {
	for _, c := range []struct {
		level, format, says string
		want                error
	}{
		{"", "json", `""`, ErrLogLevel},
		{"fatal", "json", `"fatal"`, ErrLogLevel},
		{"info", "xml", `"xml"`, ErrLogFormat},
	} {
		_, err := NewLogger(c.level, c.format, &bytes.Buffer{})
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("level %q, format %q: %v", c.level, c.format, err)
		}
	}
}
