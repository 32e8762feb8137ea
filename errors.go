package apig

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Sentinels for errors.Is. Every [*APIGError] matches exactly one of them, except that
// ErrNotPublished also matches ErrNotFound. Ask for ErrOutcomeUnknown first, as
// [OutcomeOf] does: such an error also wraps the [*APIGError] that led to it.
//
// Look for a sentinel with errors.Is, not with ==.
var (
	// ErrInvalidArgument is invalid input, found before the call sent anything. The
	// message names the field.
	ErrInvalidArgument = errors.New("apig: invalid argument")

	// ErrBadRequest is a request that the service refused as invalid, or answered
	// with a redirect, which is not followed.
	ErrBadRequest = errors.New("apig: bad request")

	// ErrUnauthorized means that the credentials are missing, expired or wrong.
	ErrUnauthorized = errors.New("apig: unauthorized")

	// ErrForbidden means that the user or the account may not do this.
	ErrForbidden = errors.New("apig: forbidden")

	// ErrNotFound means that the API, group, environment, version, gateway or
	// address does not exist, or that nothing has the name. Together with
	// ErrNotPublished it means that there is no publication.
	ErrNotFound = errors.New("apig: not found")

	// ErrNotPublished means that the API is not published in the environment.
	ErrNotPublished error = notPublished{}

	// ErrAmbiguous means that several things have the name that was looked up.
	ErrAmbiguous = errors.New("apig: ambiguous name")

	// ErrConflict means that the state of the gateway does not allow this now.
	ErrConflict = errors.New("apig: conflict")

	// ErrThrottled means too many requests. APIGError.RetryAfter is how long the
	// service asked to wait.
	ErrThrottled = errors.New("apig: throttled")

	// ErrServer is a failure of the service or of something in front of it.
	ErrServer = errors.New("apig: server error")

	// ErrBadResponse is a success answer that cannot be read, or a list that keeps
	// changing. If the answer to a change cannot be read, the history decides: the
	// error matches ErrOutcomeUnknown too, or nothing was applied.
	ErrBadResponse = errors.New("apig: unreadable response")

	// ErrOutcomeUnknown means that a change may have been, or may yet be, applied, and
	// that the client could not find out. Look at the gateway before you retry, or let
	// Client.Settle look. Every other error of a change means that it was not applied.
	ErrOutcomeUnknown = errors.New("apig: outcome unknown")
)

// notPublished is ErrNotPublished: a narrower ErrNotFound.
type notPublished struct{}

func (notPublished) Error() string { return "apig: not published" }
func (notPublished) Unwrap() error { return ErrNotFound }

// APIGError is an answer of the service, or of a proxy in front of it, that is not a
// success. Any of its fields may be zero, as in an error made for a test.
type APIGError struct {
	// Op is the method called, such as "Publish". For requests that fetch credentials
	// it is "IAM", "IAM agency" or "ECS metadata".
	Op string
	// APIID is the API of the call, or empty.
	APIID string
	// StatusCode is the HTTP status of the answer. For an API that failed in a batch it
	// is usually 200.
	StatusCode int
	// Code is the service's error_code, or empty if the answer had none.
	Code Code
	// Message is the service's text on one line, cut to 512 characters and without
	// the credentials of the request; or empty.
	Message string
	// RequestID identifies the request for Huawei's support; or empty.
	RequestID string
	// RetryAfter is how long the service asked to wait, or zero.
	RetryAfter time.Duration
	// Attempts is the number of requests that the call made.
	Attempts int
}

// Error is one line: the operation, the API, the status, the code, the
// message, the request ID and, if there were several, the attempts.
func (e *APIGError) Error() string { return subject(e.Op, e.APIID) + ": " + e.reason() }

func (e *APIGError) reason() string {
	var what []string
	if e.showsStatus() {
		what = append(what, strings.TrimSpace(strconv.Itoa(e.StatusCode)+" "+http.StatusText(e.StatusCode)))
	}
	if e.Code != "" && string(e.Code) != strconv.Itoa(e.StatusCode) { // IAM's codes repeat the status
		what = append(what, string(e.Code))
	}
	s := strings.Join(what, ", ")
	switch {
	case s == "":
		s = cmp.Or(e.Message, "failed without a code or a message")
	case e.Message != "":
		s += ": " + e.Message
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
		s += " (" + strings.Join(notes, ", ") + ")"
	}
	return s
}

// showsStatus reports whether the status belongs to the failure. A batch reports the
// failure of an API in an answer with status 200.
func (e *APIGError) showsStatus() bool {
	return e.StatusCode >= 300 || e.StatusCode > 0 && e.StatusCode < 200
}

// Is reports whether target is the sentinel of this error.
func (e *APIGError) Is(target error) bool {
	return errors.Is(e.sentinel(), target)
}

// sentinel lets the code decide, and the status only where the code is unknown.
func (e *APIGError) sentinel() error {
	// "The operation has already been performed" means that the API is offline only
	// if the operation was to take it offline.
	if e.Code == codeAlreadyPerformed && strings.HasPrefix(e.Op, "Offline") {
		return ErrNotPublished
	}
	if known, ok := e.Code.meaning(); ok {
		return known.sentinel
	}
	return statusSentinel(e.StatusCode)
}

// BatchError holds the items of a batch that failed. errors.Is and errors.As search
// all of them: errors.Is(err, ErrOutcomeUnknown) reports whether any outcome is
// unknown.
type BatchError struct {
	// Op is the method called, such as "PublishBatch".
	Op string
	// Items are the items that failed, in the order of the batch.
	Items []BatchItem

	total int // items of the batch; 0, in an error made for a test: not known
}

// Error is one line: how many items failed, and the error of the first.
func (e *BatchError) Error() string {
	s := fmt.Sprintf("%s: %d of %d APIs failed", subject(e.Op, ""), len(e.Items), max(e.total, len(e.Items)))
	if len(e.Items) > 0 && e.Items[0].Err != nil {
		s += "; the first: " + e.Items[0].Err.Error()
	}
	return s
}

// Unwrap returns the errors of the items.
func (e *BatchError) Unwrap() []error {
	errs := make([]error, len(e.Items))
	for i, item := range e.Items {
		errs[i] = item.Err
	}
	return errs
}

// CallError is a failed call that no refusal of the service explains:
//
//   - Nothing could be sent, the answer was lost or unreadable, or the context ended.
//   - The client found the reason in good answers: nothing has the name, the API is not
//     published, or the history shows that a lost change was not applied.
//
// errors.Is and errors.As find the reason: the end of the context, a net.Error, the
// error of an Authenticator or a Limiter, or a sentinel such as [ErrBadResponse] or
// [ErrNotPublished]. Invalid arguments of a method are [ErrInvalidArgument] alone.
//
// To make one with a reason in a test, join the two:
//
//	errors.Join(&apig.CallError{Op: "Publish"}, context.DeadlineExceeded)
type CallError struct {
	// Op is the method called, as in an APIGError.
	Op string
	// APIID is the API of the call, or empty.
	APIID string
	// Attempts is the number of requests that the call tried to make.
	Attempts int

	why  string // on one line, without raw text of a server; empty in an error made for a test
	last error  // the failure before the context ended, or nil
	tree []error
}

// Error is one line: the operation, the API, the reason and, if there were
// several, the attempts.
func (e *CallError) Error() string { return subject(e.Op, e.APIID) + ": " + e.reason() }

func (e *CallError) reason() string {
	s := e.text()
	if e.last == nil && e.Attempts > 1 {
		s += fmt.Sprintf(" (%d attempts)", e.Attempts)
	}
	return s
}

func (e *CallError) text() string {
	why := cmp.Or(e.why, "failed without an answer")
	if e.last == nil {
		return why
	}
	return why + "; before that: " + reasonOf(e.last)
}

// Unwrap returns the reasons.
func (e *CallError) Unwrap() []error { return e.tree }

// interrupted is the error of a call after the end of its context, or if the context
// would end before the next attempt. last is the failure before that, or nil.
func interrupted(op, apiID string, attempts int, ended, last error) *CallError {
	e := &CallError{Op: op, APIID: apiID, Attempts: attempts, why: strings.TrimPrefix(ended.Error(), "apig: "), last: last, tree: []error{ended}}
	if last != nil {
		e.tree = append(e.tree, last)
	}
	return e
}

// unanswered is the error of an attempt that ended without an answer. text is the text
// of err without credentials.
func unanswered(op, apiID string, attempts int, err error, text string) *CallError {
	text = strings.ReplaceAll(strings.TrimPrefix(text, "apig: "), ": apig: ", ": ") // of an inner call for credentials
	e := &CallError{Op: op, APIID: apiID, Attempts: attempts, why: text, tree: []error{&transportError{text, err}}}
	if errors.As(err, new(*authError)) || errors.As(err, new(*limiterError)) {
		e.tree = []error{err} // contains no text of a server
	}
	return e
}

// transportError matches everything that an error of net/http matches, but has its own
// text: net/http quotes malformed answers, with credentials that they repeat.
type transportError struct {
	text string
	err  error
}

func (e *transportError) Error() string { return e.text }

// Is reports whether the error of net/http does.
func (e *transportError) Is(target error) bool { return errors.Is(e.err, target) }

// As finds the types that contain no text of a server.
func (e *transportError) As(target any) bool {
	switch target := target.(type) {
	case *net.Error:
		var found net.Error
		if !errors.As(e.err, &found) {
			return false
		}
		*target = &networkError{e, found}
		return true
	case **net.DNSError, **tls.CertificateVerificationError, *syscall.Errno:
		return errors.As(e.err, target)
	}
	return false
}

// networkError is a net.Error with the text of a transportError.
type networkError struct {
	*transportError
	net net.Error
}

func (e *networkError) Timeout() bool   { return e.net.Timeout() }
func (e *networkError) Temporary() bool { return e.net.(interface{ Temporary() bool }).Temporary() }
