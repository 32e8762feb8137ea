// Command faults is the run of faults: it has clients publish thousands of
// APIs on a gateway that fails on nearly every third request, and then
// compares, call by call, what they reported with what the gateway has done.
//
//	go run ./internal/faults                     # this library, then resty and net/http beside it
//	go run ./internal/faults -calls 100000       # the same, longer
//	go run ./internal/faults -processes 4        # four processes publish the same APIs with one remark
//	go run ./internal/faults -clients apig -history refused -seed 7
//
// A report can be bad in three ways, which may come together:
//
//	wrong report     reported done, but never applied; or done with a version that
//	                 another call made; or reported not applied, but applied, be it
//	                 later. An offline that changed nothing was still done rightly
//	                 if the API was not in effect at some time during the call.
//	lost publish     a wrong report about a publish that is either applied but
//	                 reported as not applied, or reported done but not applied.
//	doubled version  a call that was applied more than once.
//
// An outcome that is reported as unknown is never wrong, but it has to be
// founded: the gateway has received at least one publish request of that call
// to which its client got no clean answer, or its time was up when the request
// had a connection already, so that it may have been sent.
//
// This library's client runs three times: with callers who wait as long as it
// takes; with callers in a hurry, whose contexts end at any time from before
// the first byte is sent until after the last look at the history; and with a
// history that it may not read.
//
// The program ends with status 1 if a report of this library's client is bad;
// if one of its unknown outcomes is unfounded; if the history can be read and
// nobody is in a hurry, but an outcome stays unknown or 2 % of the calls are
// not applied; and if any run leaves a goroutine, a connection or more than
// 4 MB of memory behind. What the other clients report is printed beside it and
// decides nothing.
//
// Which fault strikes a request follows from the seed, the number of its call
// and how many requests that call has made before, so that all clients meet
// the same ones. What happens then also depends on timing: which calls share a
// token that expires, and whether a late change comes before or after a look
// at the history.
package main
