// Command faults is the run of faults: it has clients publish thousands of
// APIs on a gateway that fails on nearly every third request, and then
// compares, API by API, what they reported with what the gateway has done.
//
//	go -C internal/faults run .                   # this library, then the official SDK, resty and net/http beside it
//	go -C internal/faults run . -calls 100000     # the same, longer
//	go -C internal/faults run . -processes 4      # four processes publish the same APIs with one remark
//	go -C internal/faults run . -columns apig,batches -seed 7
//
// A report can be bad in three ways, which may come together:
//
//	wrong report     reported applied, but it was not; or with a version that
//	                 another call made; or reported not applied, but applied, be it
//	                 later. An offline that changed nothing was still applied
//	                 rightly if the API was not in effect at some time during the
//	                 call.
//	lost publish     a wrong report about a publish that is either applied but
//	                 reported as not applied, or reported applied but is not.
//	doubled version  a change that was applied more than once.
//
// An outcome that is reported as unknown is never wrong, but it has to be
// founded: the gateway has received at least one request of that call which was
// to change something, and to which its client got no clean answer, or its time
// was up when the request had a connection already, so that it may have been sent.
//
// This library's client runs five times: with callers who wait as long as it
// takes; with callers in a hurry, whose contexts end at any time from before
// the first byte is sent until after the last look at the history; with a
// history that it may not read; and with its methods for batches, for callers of
// both kinds. A batch meets the same faults, and as often others that strike some
// of its APIs only.
//
// The official SDK repeats nothing by itself. Like net/http it has the usual loop
// around it, with as many attempts and the same waits as ours; resty has its own.
//
// What the clients meet is as unkind as the documented limits of this library
// allow, save for what a busy machine may be late: a lost request is applied up
// to SettleWait after its connection broke, or twice that after a timeout, and the
// Date of answers is off.
//
// The program ends with status 1 if a report of this library's client is bad; if
// one of its unknown outcomes is unfounded; if the history can be read, nobody is
// in a hurry and there is one process, but an outcome stays unknown or 2 % of the
// changes are not applied; and if any run leaves a goroutine or a connection
// behind, or more than 4 MB of memory two minutes later, or is cut off by its time
// limit, in which case it shows no figures. What the other clients report is
// printed beside it and decides nothing.
//
// Of several processes an outcome may stay unknown although the history can be
// read: they may have made ten newer versions meanwhile, and no more are kept.
//
// Which fault strikes a request follows from the seed, the number of its call,
// what it asks for, and how many such requests that call has made before, so that
// all clients meet the same ones. What happens then also depends on timing: which
// calls share a token that expires, and whether a late change comes before or
// after a look at the history.
//
// It is a module of its own, so that no user of the library downloads the
// official SDK.
package main
