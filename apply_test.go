package apig

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/apig-go/apig/apigtest"
)

// A change that undoes what others have done is not sent again on what the history
// showed a while ago. Where no look is recent, since each takes too long, it is not
// sent again at all.
func TestChangeIsNotRepeatedOnAnOldLook(t *testing.T) {
	for read, want := range map[time.Duration]struct {
		outcome Outcome
		sent    int
		looks   int
	}{
		freshLook:                    {Applied, 2, 1},
		freshLook + time.Millisecond: {Unknown, 1, 1 + freshLooks},
	} {
		virtually(t, read.String(), func(t *testing.T) {
			s := newSite(t, func(cfg *Config) { cfg.Retry.MinWait, cfg.Retry.MaxWait = time.Nanosecond, time.Nanosecond })
			s.theirs("1.4.1")
			time.Sleep(time.Hour)
			s.Inject(apigtest.CloseBefore().On(apigtest.OpAction), apigtest.Slow(read-time.Nanosecond).On(apigtest.OpHistory).Always())
			_, err := s.Client.Offline(t.Context(), s.request(""))
			assert.Equal(t, want.outcome.String(), OutcomeOf(err).String())
			if want.outcome == Unknown {
				assert.ErrorContains(t, err, "outcome unknown: what is in effect cannot be read in time to repeat the change")
			}
			assert.Equal(t, want.sent, s.requests(apigtest.OpAction))
			assert.Equal(t, want.looks, s.requests(apigtest.OpHistory))
		})
	}
}
