package observe

import (
	"errors"
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Errors of Logger.
var (
	ErrLogLevel  = errors.New("allowed log levels are debug, info, warn and error")
	ErrLogFormat = errors.New("allowed log formats are json and console")
)

var levels = map[string]zapcore.Level{
	"debug": zapcore.DebugLevel, "info": zapcore.InfoLevel, "warn": zapcore.WarnLevel, "error": zapcore.ErrorLevel,
}

// NewLogger writes lines of level (debug, info, warn, error) and above to w, one at a time, as JSON objects ("json") or for people ("console"). Times
// are UTC in RFC 3339 with milliseconds, durations read "1.5s". Nothing is sampled: a line that is written is a line that is there, and
// callers say a thing once and not for each record. Stack traces are not written.
func NewLogger(level, format string, w io.Writer) (*zap.Logger, error) {
	l, ok := levels[level]
	if !ok {
		return nil, fmt.Errorf("log level %q: %w", level, ErrLogLevel)
	}
	cfg := zap.NewProductionEncoderConfig()
	cfg.EncodeTime = func(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
		enc.AppendString(t.UTC().Format("2006-01-02T15:04:05.000Z07:00"))
	}
	cfg.EncodeDuration = zapcore.StringDurationEncoder
	var enc zapcore.Encoder
	switch format {
	case "json":
		enc = zapcore.NewJSONEncoder(cfg)
	case "console":
		enc = zapcore.NewConsoleEncoder(cfg)
	default:
		return nil, fmt.Errorf("log format %q: %w", format, ErrLogFormat)
	}
	return zap.New(zapcore.NewCore(enc, zapcore.Lock(zapcore.AddSync(w)), l)), nil
}
