// Package apig publishes APIs on Huawei Cloud API Gateway (APIG, dedicated
// gateway, API v2) and takes them offline, and its caller always knows what
// happened. Begin with [New] and [Client.Publish]; the first example is a whole
// program.
//
// # Outcomes
//
// [OutcomeOf] says what the error of a change means. [Applied]: there is a
// record, which is what the gateway holds. [NotApplied]: nothing has changed.
// [Unknown]: the change may have been applied, and the client could not find out;
// [Client.Settle] looks again, also in another process.
//
// Publishing twice makes two versions, so an attempt whose answer was lost is not
// simply repeated: the client looks for it in the gateway's history. Calls for one
// API take turns, within a Client and those that [Client.Instance] makes of it.
//
// # Retries and times
//
// An attempt is repeated if it was not applied and another one may succeed:
// nothing was sent, the service is throttling or busy, or the history shows that
// it was not applied. A call ends with its context. Without a deadline it takes
// about 7½ minutes at most by default; [RetryPolicy] has the formula, and how to
// change it. [Config] takes a [Limiter] for attempts and a Logger that sees each.
//
// # Credentials
//
// Tokens: [StaticToken], or [TokenAuth] with [IAM] or [Agency]. Signatures by
// AK/SK: [StaticKeys], or [KeyAuth] with [ECSKeys]. [ConfigFromEnv] finds either.
// What is fetched is renewed in time. Credentials are never logged or put into an
// error, and go to the configured endpoint alone: over https or to a loopback
// address, and never along a redirect.
//
// # Testing
//
// Package [github.com/apig-go/apig/apigtest] has a gateway with faults, also for
// virtual time. A mocked transport should answer the history as well.
//
// # Limits
//
//   - A lost request may be applied, and show in the history, up to
//     [RetryPolicy.SettleWait] after it failed (twice that after a timeout, not at
//     all after an error of the service itself). One that is later can make a
//     second version or undo a later call.
//   - Without [RetryPolicy.TagRemark], a version that another process made with the
//     same remark, or also with none, from three seconds before the lost attempt
//     until it is settled, can be taken for the lost one. Add to these three what
//     Date is behind the publish times; one over ten seconds ahead hides it.
//   - Somebody else's switch to an earlier version leaves no time. A lost Offline,
//     OfflineVersion, SwitchVersion or Rollback may undo it, or be taken for not
//     applied.
//   - Those four are repeated over what was in effect a second before at most, and
//     may undo what somebody else changes in that second.
//   - A proxy that repeats requests makes versions that no client can tell apart,
//     and an Offline that it repeats reports [ErrNotPublished].
//   - Settling reads the history: apig:apis:get, or under identity policies
//     apig:api:listHistoryVersion. Without that right, what was lost stays unknown.
//     A group takes the right to list APIs.
package apig
