// Command batchload publishes thousands of APIs on a gateway that fails, once
// with PublishBatch and then with one Publish for each, and compares what is
// reported of every API with the gateway's journal.
//
//	go run ./internal/batchload
//	go run ./internal/batchload -apis 20000 -rate 0.3 -seed 7
//
// The program ends with status 1 if of any API what is reported is
//
//	wrong      done with a version that another request made, or not what is to
//	           be reported of an API that does not exist, or nothing at all
//	lost       done, though it was never applied, or not applied, though it was
//	doubled    applied more than once
//
// That an outcome is unknown is printed too, and is not wrong.
//
// All publications have the same remark, so that nothing but the order of
// events tells them apart. Which fault strikes a request follows from the seed,
// the API that comes first in it, and how many such requests came before.
package main
