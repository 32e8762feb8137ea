package apig

import (
	"errors"
	"time"

	"github.com/apig-go/apig/internal/errorbody"
)

// Outcome is the result of a change.
type Outcome int

// The outcomes of a change.
const (
	Unknown    Outcome = iota // it may have been, or may yet be, applied
	Applied                   // it was applied
	NotApplied                // it was not applied, and will not be
)

// String is the outcome in lower case: applied, not applied or unknown.
func (o Outcome) String() string {
	switch o {
	case Applied:
		return "applied"
	case NotApplied:
		return "not applied"
	}
	return "unknown"
}

// OutcomeOf returns the outcome that the error of a change stands for:
//
//   - nil is Applied
//   - an error that matches [ErrOutcomeUnknown] is Unknown
//   - any other error is NotApplied
//
// For a [*BatchError] it is Unknown if any of its items is, otherwise NotApplied. The
// change of the APIs that are not in the error was applied.
func OutcomeOf(err error) Outcome {
	switch {
	case err == nil:
		return Applied
	case errors.Is(err, ErrOutcomeUnknown):
		return Unknown
	}
	return NotApplied
}

// UnknownError is a change that may have been, or may yet be, applied: its answer
// was lost and the gateway's history did not settle the question. It matches
// [ErrOutcomeUnknown]. errors.As finds the failure of its request, such as an
// [*APIGError], unless the UnknownError was made from JSON.
//
// [Client.Settle] looks again. It needs only the exported fields, so an UnknownError may
// be stored as JSON and settled later by another process.
type UnknownError struct {
	// Op is the method that was called, such as Publish.
	Op string `json:"op"`
	// InstanceID is the gateway. In JSON written by hand it may be empty, for the
	// gateway of the client that settles.
	InstanceID string `json:"instance_id,omitempty"`
	// APIID is the API.
	APIID string `json:"api_id"`
	// EnvID is the environment. It is empty for SwitchVersion and OfflineVersion.
	EnvID string `json:"env_id,omitempty"`
	// VersionID is the version to switch to or to take offline; otherwise empty.
	VersionID string `json:"version_id,omitempty"`
	// Remark is the caller's remark.
	Remark string `json:"remark,omitempty"`
	// Tag is the tag that follows the remark of a publication. It is empty if none
	// was sent.
	Tag string `json:"tag,omitempty"`
	// SentAt is when the lost request was sent, by the clock of the machine that
	// sent it.
	SentAt time.Time `json:"sent_at,omitzero"`
	// FailedAt is when the request failed, by the same clock.
	FailedAt time.Time `json:"failed_at,omitzero"`
	// ArrivesWithin is how long after FailedAt the change may yet be applied. In
	// JSON it is a number of nanoseconds. Zero means twice the SettleWait of the client
	// that settles.
	ArrivesWithin time.Duration `json:"arrives_within,omitempty"`
	// Attempts is how many requests the call had made.
	Attempts int `json:"attempts,omitempty"`

	cause error  // the failure of the request; nil in an error made from JSON
	why   string // it could not be settled
	ended error  // the end of the context, or a mistake that kept Settle from looking; or nil
}

// Error is one line: the operation, the API, the failure, and why the history did
// not settle it.
func (e *UnknownError) Error() string { return subject(e.Op, e.APIID) + ": " + e.reason() }

func (e *UnknownError) reason() string {
	s := "outcome unknown"
	if e.cause != nil {
		s = reasonOf(e.cause) + "; " + s
	}
	if e.why != "" {
		s += ": " + e.why
	}
	return s
}

// Unwrap returns [ErrOutcomeUnknown], the failure of the request, and the end of the
// context or the mistake that kept Settle from looking. A failure to read the history
// is not among them: it would make the change look forbidden or throttled.
func (e *UnknownError) Unwrap() []error {
	tree := []error{ErrOutcomeUnknown}
	if e.cause != nil {
		tree = append(tree, e.cause)
	}
	if e.ended != nil {
		tree = append(tree, e.ended)
	}
	return tree
}

// stillUnknown is the error after another look that did not settle it.
func (e *UnknownError) stillUnknown(why string, ended error) *UnknownError {
	again := *e
	again.why, again.ended = why, ended
	return &again
}

// notApplied is the error after a look that proved that nothing was applied.
func (e *UnknownError) notApplied() *CallError {
	n := &CallError{Op: e.Op, APIID: e.APIID, Attempts: e.Attempts, why: "not applied, as the gateway's history shows"}
	if e.cause != nil {
		n.why += "; the failure was: " + reasonOf(e.cause)
		n.tree = []error{e.cause}
	}
	return n
}

// check reports the mistakes in an error that was not made by this package, or not
// by a client of this gateway.
func (e *UnknownError) check(act *action, instanceID string) error {
	var bad problems
	if act == nil {
		bad.addf("UnknownError.Op \"%s\" is not a method that changes something", errorbody.Line(e.Op, maxCode))
	}
	if !sameOrEmpty(e.InstanceID, instanceID) {
		bad.addf("UnknownError.InstanceID \"%s\" is another gateway than the client's, \"%s\"",
			errorbody.Line(e.InstanceID, maxCode), errorbody.Line(instanceID, maxCode))
	}
	bad.id("UnknownError.APIID", e.APIID)
	if act == online || act == offline {
		bad.id("UnknownError.EnvID", e.EnvID)
	} else {
		bad.id("UnknownError.VersionID", e.VersionID)
	}
	if e.SentAt.IsZero() {
		bad.addf("UnknownError.SentAt is zero")
	}
	if e.ArrivesWithin < 0 || e.ArrivesWithin > 2*longestWait {
		bad.addf("UnknownError.ArrivesWithin %v is not between 0 and %v", e.ArrivesWithin, 2*longestWait)
	}
	if e.Tag != "" && !isTag(e.Tag) {
		bad.addf("UnknownError.Tag \"%s\" is not a tag", errorbody.Line(e.Tag, maxCode))
	}
	return bad.err()
}

// failure is the lost request.
func (e *UnknownError) failure() *failure {
	return &failure{err: e.cause, verdict: unknown, start: e.SentAt, end: e.FailedAt, foreign: e.cause == nil}
}
