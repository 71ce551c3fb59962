package observe

import (
	"errors"
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Errors of NewLogger.
var (
	ErrLogLevel  = errors.New("allowed log levels are debug, info, warn and error")
	ErrLogFormat = errors.New("allowed log formats are json and console")
)

var logLevels = map[string]zapcore.Level{
	"debug": zapcore.DebugLevel, "info": zapcore.InfoLevel, "warn": zapcore.WarnLevel, "error": zapcore.ErrorLevel,
}

// NewLogger returns a logger that writes lines of at least the given level (debug, info, warn,
// error) to w, in the format "json" or "console". Times are UTC in RFC 3339 with milliseconds;
// durations are written like "1.5s". Lines are not sampled, so callers must log a condition once
// and not per record. Stack traces are not written. The error wraps ErrLogLevel or ErrLogFormat.
func NewLogger(level, format string, w io.Writer) (*zap.Logger, error) {
	minLevel, ok := logLevels[level]
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
	return zap.New(zapcore.NewCore(enc, zapcore.Lock(zapcore.AddSync(w)), minLevel)), nil
}
