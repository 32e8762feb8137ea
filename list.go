package apig

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// pageLimit is the most rows the service gives in one page.
	pageLimit = 500

	// maxRows is the most rows of a list that are read. A gateway has room for a
	// few thousand APIs.
	maxRows = 100_000
)

// list is a list of the service as data: where it is and what to ask for.
type list[T any] struct {
	op, apiID string // as in operation
	path      string
	key       string // the rows stand under it
	query     url.Values
	id        func(*T) string         // of a row
	check     func(*answer, *T) error // says why a row cannot be of this list; or nil
	most      int                     // rows that are read
	bound     int                     // of a page, in bytes
}

// page is one page of a list.
type page[T any] struct {
	offset         int
	total          int // rows in the whole list
	rows           []T
	asked, arrived time.Time // by our clock
	date           time.Time // of the answer, by the gateway's clock; or zero
	badID          error     // why the ID of a row is none; or nil
}

// all yields the rows of all pages. A mistake of the caller is all it yields.
func (l list[T]) all(ctx context.Context, s *service, mistake error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		if mistake != nil {
			yield(none, mistake)
			return
		}
		for p, err := range l.pages(ctx, s) {
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
// because it was not read. So is one that goes on and on.
func (l list[T]) pages(ctx context.Context, s *service) iter.Seq2[page[T], error] {
	return func(yield func(page[T], error) bool) {
		var total int               // of the first page
		begins := map[string]bool{} // IDs of the first row of each page
		for seen := 0; ; {
			p, err := l.page(ctx, s, seen)
			if seen == 0 {
				total = p.total
			}
			switch {
			case err != nil:
			case p.badID != nil:
				err = l.broken("%v", p.badID)
			case p.total > total+pageLimit: // a few may join while it is read
				err = l.broken("its total has grown from %d to %d", total, p.total)
			}
			if err == nil && len(p.rows) > 0 {
				id := l.id(&p.rows[0])
				if begins[id] {
					err = l.broken("a page comes again")
				}
				begins[id] = true
			}
			if err != nil {
				yield(page[T]{}, err)
				return
			}
			if seen += len(p.rows); !yield(p, nil) || seen >= p.total {
				return
			}
		}
	}
}

func (l list[T]) broken(format string, args ...any) error {
	return &CallError{Op: l.op, APIID: l.apiID, why: "unreadable list: " + fmt.Sprintf(format, args...), tree: []error{ErrBadResponse}}
}

// page reads the page that begins at offset.
func (l list[T]) page(ctx context.Context, s *service, offset int) (page[T], error) {
	query := maps.Clone(l.query)
	query.Set("offset", strconv.Itoa(offset))
	query.Set("limit", strconv.Itoa(pageLimit))
	op := operation{name: l.op, apiID: l.apiID, request: request{method: http.MethodGet, path: l.path + "?" + query.Encode(), bound: l.bound}}
	return read(ctx, s, op, func(a *answer) (page[T], error) {
		p := page[T]{offset: offset, asked: a.start, arrived: a.arrived, date: a.date()}
		return p, l.decode(a, &p)
	})
}

// decode refuses what is not a page: nothing may be taken for an empty list but a
// list that says it is empty.
func (l list[T]) decode(a *answer, p *page[T]) error {
	total := -1
	err := decodeObject(a.body, fieldDecoders{"total": decodeInto(&total), l.key: decodeRows(&p.rows, pageLimit)})
	switch {
	case err != nil:
		return fmt.Errorf("the body is not a list: %s", a.text(err.Error(), maxMessage))
	case a.status != http.StatusOK || total < 0:
		return errors.New("the body is a list without a total")
	case total > l.most:
		return fmt.Errorf("the list has %d rows, at most %d are read", total, l.most)
	}
	if whole := max(0, min(pageLimit, total-p.offset)); len(p.rows) != whole {
		return fmt.Errorf("the page has %d rows instead of %d", len(p.rows), whole)
	}
	p.total = total
	for i := range p.rows {
		p.badID = cmp.Or(p.badID, a.checkID(l.id(&p.rows[i])))
		if l.check != nil {
			if err := l.check(a, &p.rows[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
