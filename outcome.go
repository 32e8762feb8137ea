package apig

import (
	"errors"
	"log/slog"
	"time"

	"github.com/apig-go/apig/internal/errorbody"
)

// Outcome is what became of a change.
type Outcome int

// The outcomes of a change.
const (
	Unknown    Outcome = iota // it may have been applied, and the client could not find out
	Applied                   // it was applied
	NotApplied                // it was not, and will not be
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

// OutcomeOf says what an error that a change has returned means: nil is Applied,
// an error that matches [ErrOutcomeUnknown] is Unknown, and every other one is
// NotApplied. Of a [*BatchError] it is the worst of its items: Unknown before
// NotApplied. The other APIs of the batch were applied all the same.
func OutcomeOf(err error) Outcome {
	switch {
	case err == nil:
		return Applied
	case errors.Is(err, ErrOutcomeUnknown):
		return Unknown
	}
	return NotApplied
}

// UnknownError is a change that may have been applied and whose outcome could
// not be found out. It matches [ErrOutcomeUnknown], and errors.As finds what began
// it, such as an [*APIGError]. [Client.Settle] looks again.
//
// Its fields are enough to go on, for a person as for another process: Settle
// takes an UnknownError that was made again from its JSON. On another machine its
// clock counts where SentAtGateway is zero and the remark has no tag: one that is
// more than ten seconds off from that of the first can make Settle take what was
// applied for not applied.
type UnknownError struct {
	// Op is the method that was called, such as Publish.
	Op string `json:"op"`
	// InstanceID is the gateway. Settle of a client for another one leaves the
	// outcome unknown; empty, in JSON made by hand, means that of the client.
	InstanceID string `json:"instance_id,omitempty"`
	// APIID is the API that it was about.
	APIID string `json:"api_id"`
	// EnvID is the environment, or empty where a version says it.
	EnvID string `json:"env_id,omitempty"`
	// VersionID is the version that was to be switched to or taken offline.
	VersionID string `json:"version_id,omitempty"`
	// Remark is the remark as it was sent, with its tag if it has one. The
	// version that a lost publication has made has it too.
	Remark string `json:"remark,omitempty"`
	// Tagged says that the remark has a tag of RetryPolicy.TagRemark, which no
	// other call has.
	Tagged bool `json:"tagged,omitempty"`
	// SentAt is when the first attempt began whose outcome is unknown, by the
	// clock of this machine.
	SentAt time.Time `json:"sent_at,omitzero"`
	// SentAtGateway is the same by the gateway's clock, to within two seconds;
	// zero if it is not known that well.
	SentAtGateway time.Time `json:"sent_at_gateway,omitzero"`
	// FailedAt is when the last attempt had failed. What was lost may be applied
	// until twice RetryPolicy.SettleWait after it.
	FailedAt time.Time `json:"failed_at,omitzero"`
	// Attempts is how many requests the call had made.
	Attempts int `json:"attempts,omitempty"`

	cause error  // of the last attempt; nil in one made from JSON
	why   string // it could not be settled
	ended error  // of the caller's context, or the mistake for which Settle did not look; or nil

	// rivals are publications of the client whose versions are not this one's; nil
	// in an error made from JSON.
	rivals *rivals
}

// Error is one line: the operation, the API, the failure and why its outcome
// could not be found out.
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

// Unwrap returns [ErrOutcomeUnknown], the failure of the attempt and the end of the
// context. A failure to read the history is not among them: it would make the
// change look forbidden or throttled.
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

// LogValue makes the error a group in structured logs.
func (e *UnknownError) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("op", e.Op)}
	for _, a := range []slog.Attr{
		slog.String("instance_id", errorbody.Line(e.InstanceID, maxCode)),
		slog.String("api_id", errorbody.Line(e.APIID, maxCode)),
		slog.String("env_id", errorbody.Line(e.EnvID, maxCode)),
		slog.String("version_id", errorbody.Line(e.VersionID, maxCode)),
		slog.String("remark", errorbody.Line(e.Remark, maxMessage)),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	if !e.SentAt.IsZero() {
		attrs = append(attrs, slog.Time("sent_at", e.SentAt))
	}
	if !e.SentAtGateway.IsZero() {
		attrs = append(attrs, slog.Time("sent_at_gateway", e.SentAtGateway))
	}
	return slog.GroupValue(append(attrs, slog.Int("attempts", e.Attempts), slog.String("reason", e.reason()))...)
}

// stillUnknown is the error after another look that did not settle it.
func (e *UnknownError) stillUnknown(why string, ended error) *UnknownError {
	again := *e
	again.why, again.ended = why, ended
	return &again
}
