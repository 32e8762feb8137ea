package apig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// batchLimit is the most APIs the service takes in one request.
	batchLimit = 1000

	// batchParallel is how many requests of one batch are under way at once.
	batchParallel = 4
)

// direction is what a batch does.
type direction int

const (
	publishing direction = iota
	withdrawing
)

func (d direction) action() string { return [...]string{"online", "offline"}[d] }

// batch is one batch under way.
type batch struct {
	*Client
	op        string
	direction direction
	envID     string
	remark    string

	// refused is why the credentials were. What was not sent before is not
	// sent then: five refused signatures lock a key, whatever the requests.
	refused atomic.Pointer[error]
}

// batchCall is one API of a batch under way: its item, as far as it is known.
type batchCall struct {
	BatchItem
	turn  *turn
	doubt time.Time // start of the first attempt whose outcome was unknown
	open  bool      // its outcome is unknown and to be settled; Err says why
	again bool      // not applied, and may be the next time; Err says why

	answers int // that were about it
}

func (c *batchCall) succeed(r *PublishRecord) {
	c.Record, c.Err, c.open, c.again = r, nil, false, false
	if r.APIName != "" {
		c.APIName = r.APIName
	}
}

func (c *batchCall) fail(err error) { c.Err, c.open, c.again = err, false, false }

func (c *batchCall) repeat() { c.open, c.again = false, true }

// apis sends the APIs a thousand at a time, a few requests at once.
func (b *batch) apis(ctx context.Context, ids []string) []*batchCall {
	calls := make([]*batchCall, len(ids))
	for i, id := range ids {
		calls[i] = &batchCall{BatchItem: BatchItem{APIID: id}}
	}
	inParallel(batchParallel, slices.Collect(slices.Chunk(calls, batchLimit)), func(chunk []*batchCall) {
		b.inTurn(ctx, chunk, func(late error) {
			if late == nil {
				b.rounds(ctx, chunk, 1)
				return
			}
			for _, c := range chunk {
				c.fail(&interruptedError{subject: subject(b.op, c.APIID), ctx: late})
			}
		})
	})
	return calls
}

// group sends the request for a whole group. Its members are known from the
// answer or, if that is lost, from the gateway; then it goes on with them as
// with any other APIs.
func (b *batch) group(ctx context.Context, groupID string) ([]*batchCall, error) {
	wait := 2 * b.retry.SettleWait
	mark := b.turns.beginGroup(b.instanceID, b.envID, b.remark)
	answer, l, err := b.request(ctx, batchBody{GroupID: groupID, EnvID: b.envID, Remark: b.remark})
	var calls []*batchCall
	switch {
	case l != nil:
		members, unread := b.members(ctx, groupID)
		if unread != nil {
			b.turns.endGroup(mark, false, wait)
			return nil, &unknownError{cause: l.cause, why: "the APIs of the group cannot be listed: " + unread.Error(), ctx: ctx.Err()}
		}
		calls = unique(members)
	case err != nil:
		b.turns.endGroup(mark, !errors.Is(err, ErrOutcomeUnknown), wait)
		return nil, err
	default:
		calls = unique(answer.members())
	}
	b.inTurn(ctx, calls, func(late error) {
		// Until these turns are given back nobody else asks about its members.
		b.turns.endGroup(mark, late == nil, wait)
		// The request was made, whether or not its APIs have their turn now:
		// once the context has ended, the following only reports that.
		if answer != nil {
			b.take(ctx, answer, calls)
		} else {
			b.lose(ctx, *l, calls)
		}
		b.repeat(ctx, calls, 1)
	})
	return calls, nil
}

// members lists the APIs of a group whose answer was lost.
func (b *batch) members(ctx context.Context, groupID string) ([]*batchCall, error) {
	l := APIQuery{GroupID: groupID}.list(b.op)
	l.patient = true
	var calls []*batchCall
	for api, err := range l.all(ctx, b.Client, nil) {
		if err != nil {
			return nil, err
		}
		calls = append(calls, &batchCall{BatchItem: BatchItem{APIID: api.ID, APIName: api.Name}})
	}
	return calls, nil
}

// unique leaves out the calls whose API another one before them has: it would
// wait for its own turn.
func unique(calls []*batchCall) []*batchCall {
	seen := make(map[string]bool, len(calls))
	return slices.DeleteFunc(calls, func(c *batchCall) bool {
		again := seen[c.APIID]
		seen[c.APIID] = true
		return again
	})
}

// inTurn does what it is given while all the calls have their turn, or once ctx
// has ended before they had, which late then says. It remembers what they
// report. Turns are taken in the order of the IDs, so that two batches cannot
// wait for each other.
func (b *batch) inTurn(ctx context.Context, calls []*batchCall, do func(late error)) {
	order := slices.SortedFunc(slices.Values(calls), func(x, y *batchCall) int { return strings.Compare(x.APIID, y.APIID) })
	defer func() {
		for _, c := range order {
			if c.turn == nil {
				continue
			}
			if b.direction == publishing {
				c.turn.published(b.envID, b.remark, c.Record, c.Err, 2*b.retry.SettleWait)
			}
			b.turns.release(c.turn)
		}
	}()
	for _, c := range order {
		t, err := b.turns.take(ctx, place{b.instanceID, c.APIID})
		if err != nil {
			do(err)
			return
		}
		c.turn = t
	}
	do(nil)
}

// rounds sends the calls, and then those again that were not applied and may be
// the next time.
func (b *batch) rounds(ctx context.Context, calls []*batchCall, round int) {
	ids := make([]string, len(calls))
	for i, c := range calls {
		ids[i] = c.APIID
	}
	answer, l, err := b.request(ctx, batchBody{APIs: ids, EnvID: b.envID, Remark: b.remark})
	switch {
	case l != nil:
		b.lose(ctx, *l, calls)
	case err != nil:
		for _, c := range calls {
			c.fail(err)
		}
	default:
		b.take(ctx, answer, calls)
	}
	b.repeat(ctx, calls, round)
}

// repeat begins the next round, if there is any call for it and any time left.
func (b *batch) repeat(ctx context.Context, calls []*batchCall, round int) {
	var left []*batchCall
	for _, c := range calls {
		if c.again {
			left = append(left, c)
		}
	}
	if len(left) == 0 || round >= b.retry.MaxAttempts {
		return
	}
	wait := b.retry.backoff(round, b.jitter)
	b.logRetry(ctx, b.op, left[0].APIID, round, left[0].Err, wait)
	if err := sleep(ctx, time.Now().Add(wait)); err != nil {
		for _, c := range left {
			c.fail(&interruptedError{subject(b.op, c.APIID), err, c.Err})
		}
		return
	}
	for chunk := range slices.Chunk(left, batchLimit) { // a group may have more
		b.rounds(ctx, chunk, round+1)
	}
}

// The body of POST /apis/publish and of its answer.
type (
	batchBody struct {
		APIs    []string `json:"apis,omitempty"`
		GroupID string   `json:"group_id,omitempty"`
		EnvID   string   `json:"env_id"`
		Remark  string   `json:"remark,omitempty"`
	}
	batchAnswer struct {
		Success []PublishRecord `json:"success"`
		Failure []batchFailure  `json:"failure"`

		from *answer
	}
	batchFailure struct {
		APIID     string `json:"api_id"`
		APIName   string `json:"api_name"`
		ErrorCode string `json:"error_code"`
		ErrorMsg  string `json:"error_msg"`
	}
)

// request makes the request. If its outcome is unknown it returns what was lost
// with the error; then that is to be settled API by API.
func (b *batch) request(ctx context.Context, body batchBody) (*batchAnswer, *lost, error) {
	if err := b.refused.Load(); err != nil {
		return nil, nil, *err
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, nil, err
	}
	var l *lost
	answer, err := call(ctx, b.Client, operation[*batchAnswer]{
		name: b.op,
		request: request{
			method: http.MethodPost,
			path:   "/apis/publish?action=" + b.direction.action(),
			body:   encoded,
			bound:  maxList,
		},
		decode: decodeBatch,
		settle: func(_ context.Context, whole lost) settled[*batchAnswer] {
			l = &whole
			return settled[*batchAnswer]{why: "it is settled API by API"}
		},
	})
	if l == nil && errors.Is(err, ErrUnauthorized) {
		b.refused.Store(&err)
	}
	return answer, l, err
}

func decodeBatch(a *answer) (*batchAnswer, error) {
	b := &batchAnswer{from: a}
	if err := json.Unmarshal(a.body, b); err != nil {
		return nil, fmt.Errorf("the body is not a batch of records: %s", a.text(err.Error(), maxMessage))
	}
	if b.Success == nil && b.Failure == nil {
		return nil, errors.New("the body has neither successes nor failures")
	}
	return b, nil
}

// members makes the calls of a group from its answer.
func (a *batchAnswer) members() []*batchCall {
	calls := make([]*batchCall, 0, len(a.Success)+len(a.Failure))
	for _, s := range a.Success {
		calls = append(calls, &batchCall{BatchItem: BatchItem{APIID: s.APIID, APIName: s.APIName}})
	}
	for _, f := range a.Failure {
		calls = append(calls, &batchCall{BatchItem: BatchItem{APIID: f.APIID, APIName: f.APIName}})
	}
	return calls
}

// take gives each call what the answer says of it, and settles those of which
// it leaves the outcome open: the gateway failed at them, or says nothing.
func (b *batch) take(ctx context.Context, a *batchAnswer, calls []*batchCall) {
	applied := make(map[string]*PublishRecord, len(a.Success))
	for i := range a.Success {
		applied[a.Success[i].APIID] = &a.Success[i]
	}
	refused := make(map[string]*batchFailure, len(a.Failure))
	for i := range a.Failure {
		refused[a.Failure[i].APIID] = &a.Failure[i]
	}
	var open []*batchCall
	for _, c := range calls {
		c.answers++
		if record := applied[c.APIID]; record != nil && b.shows(record) {
			record.RequestID = a.from.requestID()
			c.succeed(record)
			continue
		}
		f := refused[c.APIID]
		if f == nil {
			c.fail(&callError{op: b.op, apiID: c.APIID, err: fmt.Errorf("%w: it does not say what became of the API", ErrBadResponse)})
			open = append(open, c)
			continue
		}
		err := f.apiError(b.op, a.from)
		err.Attempts = c.answers
		c.APIName = f.APIName
		c.fail(err)
		switch {
		case b.direction == withdrawing && errors.Is(err, ErrNotPublished) && !c.doubt.IsZero():
			c.succeed(b.one(c).takenOffline())
		case classify(failure{status: http.StatusBadRequest, code: err.Code}) == notApplied:
			c.repeat()
		case errors.Is(err, ErrServer):
			open = append(open, c)
		}
	}
	if len(open) > 0 {
		b.settle(ctx, lost{start: a.from.start, end: time.Now(), wait: b.retry.SettleWait}, open)
	}
}

// shows reports whether the record is of this batch and shows what it did.
func (b *batch) shows(r *PublishRecord) bool {
	return (r.EnvID == "" || r.EnvID == b.envID) && (b.direction == withdrawing || r.namesPublication())
}

func (f *batchFailure) apiError(op string, a *answer) *APIGError {
	return &APIGError{
		Op:         op,
		APIID:      f.APIID,
		StatusCode: a.status,
		Code:       Code(a.text(f.ErrorCode, maxCode)),
		Message:    a.text(f.ErrorMsg, maxMessage),
		RequestID:  a.requestID(),
	}
}

// inParallel calls do for all of work, at most n at once.
func inParallel[T any](n int, work []T, do func(T)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, n)
	for _, w := range work {
		slots <- struct{}{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() { <-slots }()
			do(w)
		}()
	}
	wg.Wait()
}
