package simulation

import (
	"cmp"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/internal/random"
)

// checkUnknown says what is wrong with the form of an unknown report, or
// nothing: it is to be something to go on.
func checkUnknown(err error, api string) string {
	var lost *apig.UnknownError
	switch {
	case !errors.As(err, &lost):
		return "an unknown report is no *UnknownError"
	case !strings.EqualFold(lost.APIID, api):
		return "an unknown report names another API"
	case !strings.EqualFold(lost.InstanceID, "instance"):
		return "an unknown report does not name the gateway"
	case lost.SentAt.IsZero() || lost.Attempts == 0:
		return "an unknown report does not say when and how often it was tried"
	case strings.Contains(err.Error(), "\n"):
		return "an unknown report has more than one line"
	}
	return ""
}

// carried is an unknown report as another process has it, that was told its fields,
// and whose clock may be off.
func carried(err error, off time.Duration) error {
	var lost *apig.UnknownError
	if !errors.As(err, &lost) {
		return err
	}
	text, _ := json.Marshal(lost) // strings, times and numbers
	again := &apig.UnknownError{}
	if err := json.Unmarshal(text, again); err != nil {
		panic(err) // it was written by the library itself
	}
	again.SentAt, again.FailedAt = again.SentAt.Add(off), again.FailedAt.Add(off)
	return again
}

// chanceByTime makes what the library leaves to chance a matter of the time, which in
// a world is the same in every run; restore ends it.
func chanceByTime() (restore func()) {
	return random.Replace(func(n int64) int64 {
		return newDice(uint64(time.Now().UnixNano()), "library").Int64N(n)
	})
}

// The policy's defaults, which the formula of a call's longest time needs.
const (
	attemptTimeout = 60 * time.Second
	settleTimeout  = 30 * time.Second
	settlePerAPI   = 200 * time.Millisecond
	maxAttempts    = 4
	maxWait        = 20 * time.Second
	settleWait     = time.Second
	busyTimeout    = 6 * time.Minute
)

// longest is how long a call without a deadline may take, as the library documents
// it, but for the waits for a limiter.
func longest(of process, c call, apis int) time.Duration {
	p := of.policy
	attempts, look, one := cmp.Or(p.MaxAttempts, maxAttempts), cmp.Or(p.SettleWait, settleWait), cmp.Or(of.timeout, attemptTimeout)
	busy := max(0, cmp.Or(p.BusyTimeout, busyTimeout))
	if attempts == 1 {
		busy = 0
	}
	reading := settleTimeout + time.Duration(apis)*settlePerAPI
	each := one + 2*look + reading + maxWait
	if !c.op.publishes() {
		each += reading
	}
	d := time.Duration(attempts)*each + busy + one + one
	if c.op == opRollback || c.key != "" || c.op.group() {
		d += reading + 2*look
	}
	return d
}

// causeOf is what the library gives as the cause of an unknown report, without details.
func causeOf(err error) string {
	_, cause, _ := strings.Cut(err.Error(), "outcome unknown: ")
	cause, _, _ = strings.Cut(cause, ":")
	return cause
}
