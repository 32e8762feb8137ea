package apig

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Sentinels for errors.Is. Every *APIGError matches exactly one of them, but
// for ErrNotPublished, which is ErrNotFound too. Ask for ErrOutcomeUnknown
// first: such an error also holds the *APIGError that led to it.
var (
	// ErrInvalidArgument is a mistake of the caller, found before anything was
	// sent. The message names the field.
	ErrInvalidArgument = errors.New("apig: invalid argument")

	// ErrBadRequest is a request that the service refused as wrong.
	ErrBadRequest = errors.New("apig: bad request")

	// ErrUnauthorized means that the credentials are missing, expired or wrong.
	ErrUnauthorized = errors.New("apig: unauthorized")

	// ErrForbidden means that the user or the account may not do this.
	ErrForbidden = errors.New("apig: forbidden")

	// ErrNotFound means that the API, environment, version or gateway does
	// not exist, or, together with ErrNotPublished, the publication.
	ErrNotFound = errors.New("apig: not found")

	// ErrNotPublished means that the API is not published in the environment.
	ErrNotPublished error = notPublished{}

	// ErrAmbiguous means that several things have the name that was looked up.
	ErrAmbiguous = errors.New("apig: ambiguous name")

	// ErrConflict means that the state of the gateway does not allow this now.
	ErrConflict = errors.New("apig: conflict")

	// ErrThrottled means too many requests. APIGError.RetryAfter says how long
	// to wait, if the service did.
	ErrThrottled = errors.New("apig: throttled")

	// ErrServer is a failure of the service or of something in front of it.
	ErrServer = errors.New("apig: server error")

	// ErrBadResponse is a success answer that cannot be read. From a call that
	// changes something it comes together with ErrOutcomeUnknown, unless the
	// gateway's history shows that nothing was applied.
	ErrBadResponse = errors.New("apig: unreadable response")

	// ErrOutcomeUnknown means that a change may have been applied and that the
	// client could not find out. Look at the gateway before repeating it.
	// Every other error of a change means that it was not applied.
	ErrOutcomeUnknown = errors.New("apig: outcome unknown")
)

// notPublished is ErrNotPublished: a narrower ErrNotFound.
type notPublished struct{}

func (notPublished) Error() string { return "apig: not published" }
func (notPublished) Unwrap() error { return ErrNotFound }

// APIGError is an answer of the service, or of something in front of it, that
// is not a success.
type APIGError struct {
	// Op is the method that was called, such as Publish.
	Op string
	// APIID is the API it was about, if it was about one.
	APIID string
	// StatusCode is the HTTP status.
	StatusCode int
	// Code is the service's error_code, or empty if the answer had none.
	Code Code
	// Message is the service's text, on one line, cut to a sane length and
	// without any credential of the request; or empty.
	Message string
	// RequestID is what Huawei's support asks for, or empty.
	RequestID string
	// RetryAfter is how long the service asked to wait, or zero.
	RetryAfter time.Duration
	// Attempts is how many requests the call had made when it gave up.
	Attempts int
}

// Error is one line: the operation, the API, the status, the code, the
// message, the request ID and, if there were several, the attempts.
func (e *APIGError) Error() string {
	var b strings.Builder
	b.WriteString(subject(e.Op, e.APIID))
	b.WriteString(": " + strings.TrimSpace(strconv.Itoa(e.StatusCode)+" "+http.StatusText(e.StatusCode)))
	if e.Code != "" && string(e.Code) != strconv.Itoa(e.StatusCode) { // IAM's codes repeat the status
		b.WriteString(", " + string(e.Code))
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	var notes []string
	if e.RequestID != "" {
		notes = append(notes, "request id "+e.RequestID)
	}
	if e.RetryAfter > 0 {
		notes = append(notes, "retry after "+e.RetryAfter.String())
	}
	if e.Attempts > 1 {
		notes = append(notes, fmt.Sprintf("%d attempts", e.Attempts))
	}
	if len(notes) > 0 {
		b.WriteString(" (" + strings.Join(notes, ", ") + ")")
	}
	return b.String()
}

// Is reports whether target is the sentinel of this error.
func (e *APIGError) Is(target error) bool {
	return errors.Is(e.sentinel(), target)
}

// sentinel lets the code decide, and the status only where the code is unknown.
func (e *APIGError) sentinel() error {
	// "The operation has already been performed" says that something is
	// offline already only where taking it offline was asked for.
	if e.Code == CodeAlreadyPerformed && strings.HasPrefix(e.Op, "Offline") {
		return ErrNotPublished
	}
	if s := e.Code.sentinel(); s != nil {
		return s
	}
	return statusSentinel(e.StatusCode)
}

// LogValue makes the error a group in structured logs.
func (e *APIGError) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("op", e.Op), slog.Int("status", e.StatusCode)}
	for _, a := range []slog.Attr{
		slog.String("api_id", e.APIID),
		slog.String("code", string(e.Code)),
		slog.String("message", e.Message),
		slog.String("request_id", e.RequestID),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	if e.RetryAfter > 0 {
		attrs = append(attrs, slog.Duration("retry_after", e.RetryAfter))
	}
	return slog.GroupValue(append(attrs, slog.Int("attempts", e.Attempts))...)
}

// callError is a call that failed without an answer to show for it.
type callError struct {
	op, apiID string
	attempts  int
	text      string // of err, safe to print; empty: err's own
	err       error
}

func (e *callError) Error() string {
	text := e.text
	if text == "" {
		text = e.err.Error()
	}
	s := subject(e.op, e.apiID) + ": " + strings.ReplaceAll(strings.TrimPrefix(text, "apig: "), ": apig: ", ": ")
	if e.attempts > 1 {
		s += fmt.Sprintf(" (%d attempts)", e.attempts)
	}
	return s
}

func (e *callError) Unwrap() error { return e.err }

// unknownError says that a change may have been applied, and why that could
// not be found out. Its tree holds what the caller may want to match: the
// failure that began it and the end of the context, but not the failure to
// read the history, which would make it look forbidden or throttled.
type unknownError struct {
	cause error // of the attempt
	why   string
	ctx   error // of the caller's context, or nil
}

func (e *unknownError) Error() string {
	s := e.cause.Error() + "; outcome unknown"
	if e.why != "" {
		s += ": " + strings.TrimPrefix(e.why, "apig: ")
	}
	return s
}

func (e *unknownError) Unwrap() []error {
	tree := []error{ErrOutcomeUnknown, e.cause}
	if e.ctx != nil {
		tree = append(tree, e.ctx)
	}
	return tree
}

// interruptedError is a change that was not applied when its context ended, or
// would have ended before the next attempt. It holds the last failure too.
type interruptedError struct {
	subject string
	ctx     error
	last    error // or nil
}

func (e *interruptedError) Error() string {
	s := e.subject + ": " + e.ctx.Error()
	if e.last != nil {
		s += "; before that: " + strings.TrimPrefix(e.last.Error(), e.subject+": ")
	}
	return s
}

func (e *interruptedError) Unwrap() []error {
	if e.last == nil {
		return []error{e.ctx}
	}
	return []error{e.ctx, e.last}
}

// subject begins the text of every error of a call.
func subject(op, apiID string) string {
	if apiID == "" {
		return "apig: " + op
	}
	return "apig: " + op + " API " + cut(apiID, 64)
}
