// Package worlds tests the promise of the library in every small world: all
// sequences, up to a bound, of what can happen to one call.
//
// A world is a list of choices. Each has a place, such as the first request
// ("send1") or what another client does right after it ("send1.then"), and a kind
// default: the request is answered, the other client does nothing. A world is
// named by its method, by what was there before, and by all choices that are not
// the default:
//
//	Publish/old/send1:lost-applied/look1:lag/look1.after:offline
//
// The bound is the number of such choices in one world. The first request does not
// count, nor does the one of a killed process. The test goes through all
// worlds within it: after each it goes back to the last choice that has another
// option left. Each world has a gateway, a new client, and virtual time.
//
//	go -C internal/simulation test ./worlds -v
//	go -C internal/simulation test ./worlds -v -short
//	go -C internal/simulation test ./worlds -v -bound 3 -timeout 0
//	go -C internal/simulation test ./worlds -world Publish/old/send1:lost
//
// The last line runs one world and prints its story.
//
// # What can happen
//
// Nothing goes beyond the documented limits of the library. A lost change is
// applied, and visible in the history, within SettleWait of its failure, or twice
// that after a timeout; for the request of a process that was killed, twice
// SettleWait after its end. The history lags behind by less than SettleWait. The
// gateway's Date is at most three seconds ahead of its publish times.
//
// # What is wrong
//
//   - LOST: a record, but nothing was applied. A change other than a publication
//     may instead have found the state that it asks for.
//   - WRONG: an error that is not unknown, but the change was applied.
//   - LATE: the same, and it was applied after the report.
//   - DOUBLED: two versions by one call, or by one key.
//   - UNDID: a retry changed what another client had done between the first request
//     of unknown outcome and the last look.
//   - UNFOUNDED: the outcome is unknown, but the history shows it.
//   - GAVE UP: not applied, though a request was left and nothing stood in its way.
//   - SLOW: the call took longer than its context or RetryPolicy allows.
//   - FORM: the report has both a record and an error, or neither.
//
// Not judged are documented limits: what another client does between the last look
// and the retry (if the history lags, after what the look shows); what it switches
// back to since the first request of unknown outcome; a key with ten newer versions.
package worlds
