package apig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// pageLimit is the most rows the service gives in one page.
const pageLimit = 500

// Settling is worth more patience than an ordinary call: reading does no harm,
// and what cannot be read leaves the caller in the dark.
const (
	patientAttempts = 12
	patientRenewals = 3
)

// list is a list of the service as data: where it is and what to ask for.
type list[T any] struct {
	name, apiID string // as in operation
	path        string
	key         string // the rows stand under it
	query       url.Values
	patient     bool // with the patience of settling
}

// page is one page of a list.
type page[T any] struct {
	offset int
	total  int // rows in the whole list
	rows   []T
	clock  clock
}

// all yields the rows of all pages. A mistake of the caller is all it yields.
func (l list[T]) all(ctx context.Context, c *Client, mistake error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		if mistake != nil {
			yield(none, mistake)
			return
		}
		for p, err := range l.pages(ctx, c) {
			if err != nil {
				yield(none, err)
				return
			}
			for _, row := range p.rows {
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}

// pages reads page after page, until all rows that the service counts were
// read. A list that ends before is an error: nothing may be taken for missing
// because it was not read.
func (l list[T]) pages(ctx context.Context, c *Client) iter.Seq2[page[T], error] {
	return func(yield func(page[T], error) bool) {
		for seen := 0; ; {
			p, err := call(ctx, c, l.page(seen))
			if err == nil && len(p.rows) == 0 && seen < p.total {
				err = &callError{op: l.name, apiID: l.apiID,
					err: fmt.Errorf("%w: the list ends after %d of its %d rows", ErrBadResponse, seen, p.total)}
			}
			if !yield(p, err) || err != nil {
				return
			}
			if seen += len(p.rows); seen >= p.total {
				return
			}
		}
	}
}

// page is the operation that reads the page which begins at offset.
func (l list[T]) page(offset int) operation[page[T]] {
	query := maps.Clone(l.query)
	query.Set("offset", strconv.Itoa(offset))
	query.Set("limit", strconv.Itoa(pageLimit))
	op := operation[page[T]]{
		name:    l.name,
		apiID:   l.apiID,
		request: request{method: http.MethodGet, path: l.path + "?" + query.Encode(), bound: maxList},
		decode: func(a *answer) (page[T], error) {
			total, rows, err := decodePage[T](a, l.key)
			return page[T]{offset, total, rows, clock{a.date(), a.arrived}}, err
		},
	}
	if l.patient {
		op.attempts, op.renewals = patientAttempts, patientRenewals
	}
	return op
}

// decodePage refuses what is not a page: nothing may be taken for an empty
// list but a list that says it is empty.
func decodePage[T any](a *answer, key string) (total int, rows []T, err error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(a.body, &object); err != nil {
		return 0, nil, fmt.Errorf("the body is not a list: %s", a.text(err.Error(), maxMessage))
	}
	if raw := object["total"]; a.status != http.StatusOK || raw == nil || string(raw) == "null" {
		return 0, nil, errors.New("the body is a list without a total")
	}
	if err := json.Unmarshal(object["total"], &total); err != nil || total < 0 {
		return 0, nil, errors.New("the total of the list is not a number")
	}
	if raw := object[key]; raw != nil {
		if err := json.Unmarshal(raw, &rows); err != nil {
			return 0, nil, fmt.Errorf("the rows of the list cannot be read: %s", a.text(err.Error(), maxMessage))
		}
	}
	return total, rows, nil
}

// clock is what an answer tells of the gateway's clock.
type clock struct {
	now     time.Time // by the gateway; zero: not told
	arrived time.Time // when it did, by ours
}

// at is when something happened by the gateway's clock that happened at t by
// ours: up to a second early, and by as much as the answer took to arrive. It
// is zero if the gateway did not tell the time. The wall clock of this machine
// plays no part, since Sub goes by the monotonic one.
func (c clock) at(t time.Time) time.Time {
	if c.now.IsZero() {
		return time.Time{}
	}
	return c.now.Add(-c.arrived.Sub(t))
}

// since is the earliest time that the gateway can show for what was done from t
// on by our clock, or zero.
func (c clock) since(t time.Time) time.Time {
	if at := c.at(t); !at.IsZero() {
		return at.Add(-slack)
	}
	return time.Time{}
}
