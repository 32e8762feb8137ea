// Package apig publishes APIs on Huawei Cloud API Gateway (APIG, dedicated
// gateway, API v2) and takes them offline, and its caller always knows what
// happened. [ConfigFromEnv] and [New] make a client, [Client.Publish] publishes,
// and the first example below is a whole program.
//
// A change returns a record if it was applied. An error that matches
// [ErrOutcomeUnknown] means that it may have been applied and that the client
// could not find out; any other error, that nothing has changed, which of a batch
// goes for the APIs in its [BatchError]. [OutcomeOf] tells the three apart, and
// [Client.Settle] looks again, also in another process.
//
// Publishing twice makes two versions, so an attempt whose answer was lost is not
// simply repeated: the client looks for it in the gateway's history. Calls for one
// API take turns, within a Client and those that [Client.Instance] makes of it.
//
//   - Times: a call ends with its context, or after 7½ minutes at most by default;
//     [RetryPolicy] has the formula, and [Config] takes a [Limiter] and a Logger.
//   - Credentials: [StaticToken]; [TokenAuth] with [IAM] or [Agency]; [StaticKeys];
//     [KeyAuth] with [ECSKeys]. They are never logged or put into an error, and go
//     to their endpoint alone.
//   - Errors: [APIGError] is an answer, with its code and request ID; [CallError] is
//     none; [BatchError] has one for each API. For errors.Is: [ErrNotFound] and others.
//   - Tests: [github.com/apig-go/apig/apigtest] is a gateway that loses answers.
//   - Limits: settling reads the history, which takes the right apig:apis:get. It
//     misses what is applied later than [RetryPolicy.SettleWait], and without
//     [RetryPolicy.TagRemark] can take another process's version of the same remark
//     for the lost one. The README has all the limits.
package apig
