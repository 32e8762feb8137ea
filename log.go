package apig

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// restyLog keeps resty, which writes to stderr by default, within the caller's
// logger.
type restyLog struct{ log *slog.Logger }

func (l restyLog) Errorf(format string, v ...any) { l.log.Error("apig: " + fmt.Sprintf(format, v...)) }
func (l restyLog) Warnf(format string, v ...any)  { l.log.Warn("apig: " + fmt.Sprintf(format, v...)) }
func (l restyLog) Debugf(format string, v ...any) { l.log.Debug("apig: " + fmt.Sprintf(format, v...)) }

// logAttempt writes the one record an attempt.
func (c *Client) logAttempt(ctx context.Context, op, apiID string, attempt int, f *failure) {
	if !c.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{
		slog.String("op", op),
		slog.String("api_id", cut(apiID, maxCode)),
		slog.Int("attempt", attempt),
		slog.Int("status", f.status),
		slog.Duration("duration", f.end.Sub(f.start)),
		slog.String("request_id", f.requestID),
	}
	if f.err != nil {
		attrs = append(attrs, slog.String("error", f.err.Error()))
	}
	c.log.LogAttrs(ctx, slog.LevelDebug, "apig: attempt", attrs...)
}

func (c *Client) logRetry(ctx context.Context, op, apiID string, attempt int, reason error, wait time.Duration) {
	c.log.LogAttrs(ctx, slog.LevelWarn, "apig: retry",
		slog.String("op", op),
		slog.String("api_id", cut(apiID, maxCode)),
		slog.Int("attempt", attempt),
		slog.String("reason", reason.Error()),
		slog.Duration("wait", wait))
}

func (c *Client) logSettled(ctx context.Context, op, apiID string, attempt int, reason error, s standing, why string) {
	c.log.LogAttrs(ctx, slog.LevelWarn, "apig: settled",
		slog.String("op", op),
		slog.String("api_id", cut(apiID, maxCode)),
		slog.Int("attempt", attempt),
		slog.String("reason", reason.Error()),
		slog.String("result", s.String()),
		slog.String("why", why))
}
