// Package simulation tests the promise of the library, that its caller always
// knows what happened, in whole worlds of virtual time.
//
// A world is made from a scenario and a seed. It has a gateway, which is that of
// package apigtest; up to four processes, each with a client of its own and
// several workers, who make some eighty calls of all kinds; somebody else, who
// publishes, takes offline and switches versions of the same APIs at the same
// time; and a network on which everything fails that can. It runs in a bubble of
// testing/synctest, so that hours take milliseconds. Each thing in it has dice
// of its own, thrown from the seed: a world is the same in every run, to the
// byte, and leaving a part of it out leaves the rest as it was.
//
// # What can go wrong in a world
//
// Everything up to the library's documented limits, and nothing beyond them:
//
//   - A request is refused a connection, hangs, breaks while it is written or
//     before it is answered, or meets a 4xx, 5xx, 429, 504, 408, 302 or 401, with
//     and without codes of the service and Retry-After. Where its client cannot
//     know whether it was applied, it was, was not, or is applied after its client
//     has seen the failure: up to SettleWait after it, or twice that after a
//     timeout, and never after an answer of the service itself.
//   - An answer is slow, cut, stalls after its header, or is a success that cannot
//     be read. A batch fails in part, and says so or not.
//   - A read of the gateway is a page without some or all of its rows, a list
//     without a total, has no Date, or an old one with an Age, has a row without a
//     time or of another API, or comes with status 203. What it shows is never
//     older than the question.
//   - Everything fails for a time, from a second to five hours.
//   - Contexts end at any moment. Tokens expire, are refused, and cannot be had.
//   - The gateway's clock is another one than ours, and its Date differs from its
//     publish times, from two seconds behind to eight ahead.
//   - Callers write IDs in another case than the gateway does. APIs are deleted,
//     and join groups, while calls are at work on them.
//
// Not simulated are clocks of a process that are set or stand still, HTTP/2, and
// what the network of package net would do: the transport here implements
// http.RoundTripper itself, and tells an httptrace what net/http would.
//
// # What is wrong with a report
//
// Each report, of one API in one environment, is compared with the gateway's
// journal, in which every change has the name of the request that made it:
//
//   - LOST: reported as applied, and it was not, or the gateway does not hold what
//     the record says. A change to a state, such as offline, counts as applied
//     also if the API was in that state at any moment of the call. A member of a
//     group, throughout the call, that the report does not name is lost too.
//   - WRONG: reported as not applied, and it was applied before; or the record is
//     of a version that another call has made.
//   - DOUBLED: one call has made more than one version of an API.
//   - LATE: something was applied after it was reported as applied or not
//     applied, and changed what is in effect.
//   - UNDID: a change was applied a second time, after somebody else had changed
//     what the first time had put into effect.
//   - UNFOUNDED: reported as unknown although (1) no request may have been sent
//     whose outcome its answer leaves open; or (2) every read of the call was
//     answered well and in a second, no token was refused, its context lasted as long as any call may
//     take, Date was right to a second, nobody else has changed the API since
//     sixteen seconds before the first such request, and this client had left
//     nothing about the API unknown; or (3) reading the history was given up in
//     the first half of SettleTimeout, without a deadline, after an answer that
//     may be different the next time. A switch where nothing is in effect, and any
//     change of a version that is not kept, is never unfounded: no history
//     decides it.
//   - HANG: the call went on after its context had ended; or, without a deadline,
//     longer than the documented formula, counted from the first request about
//     the last of its APIs; or a call of one API waited fifteen seconds and more
//     for a turn that nobody used: no request about the API was under way or
//     between two attempts.
//   - LEAK: a goroutine is left when the world is over.
//   - ORDER: what the calls report and read of an API cannot have happened in any
//     order in which each of them takes place at one moment between its beginning
//     and its report. Unknown ones may take place at any time after their
//     beginning. This is asked only where no report is wrong already.
//   - FORM: a report has both a record and an error, or neither; a batch does not
//     have an item for each API in the order of the IDs; an unknown report is no
//     *UnknownError that can be settled; or an API was asked to be changed more
//     often than the policy allows.
//
// A report after Client.Settle is judged in the same way, as of then.
//
// What a documented limit explains is counted as excused and not as wrong, for
// each of two limits. "Same remark": without a tag, another process has
// published the API with the same remark, between three seconds before the first
// attempt in doubt, and as much longer as Date is behind, and the report; or a
// call of this one that was excused has left its version to be mistaken. For
// what is settled in another process, calls of the first one are others too.
// "Switched": somebody else has switched to an earlier version between the first
// attempt in doubt of an Offline, OfflineVersion, SwitchVersion or Rollback and
// its report.
//
// # Running it
//
//	go -C internal/simulation test                                  # the seeds of seeds.txt
//	go -C internal/simulation test -run TestSimulation -calls 1000000 -timeout 0
//	go -C internal/simulation test -run TestSimulation -calls 100000 -scenario groups -seed 5000
//	go -C internal/simulation test -run TestOutages -v              # how long each method takes
//	go -C internal/simulation test -run TestPatches -patches -v     # whether mistakes are found
//
// A failing world prints the line that repeats it, made as small as it gets,
// with -show for the story of the call.
package simulation
