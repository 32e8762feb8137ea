// Package simulation tests the promise of the library, that its caller always knows
// what happened, in whole worlds of virtual time.
//
// A world is made from a scenario and a seed. It has
//
//   - the gateway of package apigtest
//   - up to four processes, each with a client of its own and several workers, which
//     make some eighty calls of all kinds
//   - another client, which publishes, takes offline and switches versions of the
//     same APIs at the same time
//   - a network on which everything fails that can
//
// It runs in a bubble of testing/synctest, so that hours take milliseconds. Each
// thing in it has dice of its own, thrown from the seed: a world is the same in every
// run, but for the order of calls that wait for the same instant, and leaving a part of
// it out leaves the rest as it was.
//
// # Faults
//
// Everything up to the library's documented limits, and nothing beyond them:
//
//   - A request, or its answer, meets one of the faults of the table in fate.go. Where its
//     client cannot know whether it was applied, it was, was not, or is applied after its
//     client has seen the failure, so that it shows in the history within SettleWait, or
//     twice that after a timeout. A batch fails in part, and says so or not.
//   - While a write to an API is in progress the gateway refuses others (500
//     APIG.3500, 409 APIG.3718), and has applied those with 3500 or not.
//   - In some worlds histories show changes late.
//   - The service takes so many requests in five minutes and refuses the others, with
//     and without a Retry-After. Clients have limiters.
//   - The service alters remarks (line breaks, escapes, capital letters), cuts them
//     or drops them, from the first call on.
//   - Everything fails for a time, from a second to five hours.
//   - Contexts end at any moment, and so do processes, just after a publication with
//     a key was sent: the job is run again at once, later, or by another process.
//   - What is unknown is settled at once or days later, one by one or all of a batch,
//     from JSON by another process with a clock that is up to a minute off, twice, and
//     after ten newer versions.
//   - Tokens expire, are refused, and cannot be had.
//   - The gateway's clock is another one than ours, and its Date is between two
//     seconds behind and three ahead of its publish times.
//   - Callers write IDs in another case than the gateway does. APIs are deleted, and
//     join groups of several pages, while calls are at work on them.
//
// Not simulated are clocks of a process that are set or stand still, and HTTP/2: the
// transport here implements http.RoundTripper itself, and tells an httptrace what
// net/http would.
//
// # Findings
//
// Each report, of one API in one environment, is compared with the gateway's journal,
// in which every change has the name of the request that made it:
//
//   - LOST: reported as applied, and it was not, or the gateway does not hold what the
//     record says. A change to a state, such as offline, counts as applied also if
//     the API was in that state at any moment of the call. A member of a group,
//     throughout the call, that the report does not name is lost too.
//   - WRONG: reported as not applied, and it was applied before; or the record is of a
//     version of another call that does not have the same key; or the version of a
//     key is said to be superseded and was in effect all the time.
//   - DOUBLED: one call, or the calls with one key, have made more than one version of
//     an API.
//   - LATE: something was applied after it was reported as applied or not applied, and
//     changed what is in effect.
//   - UNDID: a change was applied a second time, after another client had changed what
//     the first time had put into effect; or a change of state was sent again over
//     what another client had done before the last look, or before a look that was
//     older than SettleWait.
//   - UNFOUNDED: reported as unknown although no request may have been sent whose
//     outcome was open; or the history that was read last was decisive; or reading was
//     given up in the first half of SettleTimeout.
//   - HANG: the call, or settling, went on after its context had ended or, without a
//     deadline, for longer than the documented formula.
//   - LEAK: a goroutine is left when the world is over.
//   - MISREAD: Published or Versions return what was not there at any moment of them.
//   - FORM: a report has both a record and an error, or neither; a batch does not have
//     an item for each API in the order of the IDs; an unknown report cannot be
//     settled; an API was asked to be changed more often than the policy allows; or
//     Settle contradicts itself.
//
// A report after settling is judged in the same way, as of then. A documented limit
// excuses a finding, and is counted by name: another client has switched to the
// newest version (for OfflineVersion to that version, for Rollback to the one that it
// replaces) while a change was in doubt; ten newer versions than that of a key were
// made. A lost publication without a key has no excuse.
//
// # Running it
//
//	go -C internal/simulation test .                                   # 100,000 calls
//	go -C internal/simulation test . -calls 1000000 -seed 60000 -timeout 0
//	go -C internal/simulation test . -run TestSimulation -calls 100000 -scenario keys
//	go -C internal/simulation test . -run TestPatches -patches -v      # whether faults are found
//	go -C internal/simulation test -v ./others                         # clients of other libraries
//
// A failing world prints the line that repeats it, made as small as it gets, with
// -show for the story of the call.
package simulation
