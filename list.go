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
	"strings"
	"time"
)

const (
	// pageLimit is the most rows the service gives in one page.
	pageLimit = 500

	// maxRows is the most rows of a list that are read. A gateway has room for a
	// few thousand APIs.
	maxRows = 100_000

	// maxRestarts is how often a list that changes while it is read is read again
	// from its beginning.
	maxRestarts = 3
)

// list is a list of the service as data: where it is and what to ask for.
type list struct {
	op, apiID string // as in operation
	path      string
	key       string // the rows stand under it
	query     url.Values
	most      int // rows that are read
	bound     int // of a page, in bytes
}

// rowReader decodes row i of a list, counted from 0, and checks that it belongs
// there. It returns the ID of the row. A row may be read again; it then takes the
// place of the earlier one, and all rows after it are forgotten. Rows beyond the total
// of the list are of an earlier reading.
type rowReader func(a *answer, i int, row []byte) (id string, err error)

// page describes one page of a list.
type page struct {
	total, rows int       // in the whole list, in this page
	first, last string    // IDs
	arrived     time.Time // by our clock
	date        time.Time // of the answer, by the gateway's clock; or zero
}

// read reads all pages, gives each row to row, and returns the first page.
//
// Pages overlap by one row, which must be the last one seen, and all of them must
// have the same total. Otherwise a row has left, joined or moved, and another one
// may have slipped from a page that is still to come into one that was read. The
// list is then read again. It still loses a row if that row moves forward and
// another one leaves and a third one joins before the next page is read.
func (l list) read(ctx context.Context, s *service, row rowReader) (first page, err error) {
	seen, restarts := 0, 0
	for last := ""; ; {
		offset := max(0, seen-1)
		p, err := l.page(ctx, s, offset, row)
		switch {
		case err != nil:
			return page{}, err
		case seen == 0:
			first = p
		case p.total != first.total || !strings.EqualFold(p.first, last):
			if restarts++; restarts > maxRestarts {
				return page{}, &CallError{Op: l.op, APIID: l.apiID, why: "unreadable list: it changes while it is read", tree: []error{ErrBadResponse}}
			}
			seen = 0
			continue
		}
		if last, seen = p.last, offset+p.rows; seen >= first.total {
			return first, nil
		}
	}
}

// page reads the page that begins at offset.
func (l list) page(ctx context.Context, s *service, offset int, row rowReader) (page, error) {
	query := url.Values{"offset": {strconv.Itoa(offset)}, "limit": {strconv.Itoa(pageLimit)}}
	maps.Copy(query, l.query)
	op := operation{name: l.op, apiID: l.apiID, request: request{method: http.MethodGet, path: l.path + "?" + query.Encode(), bound: l.bound}}
	return read(ctx, s, op, func(a *answer) (page, error) { return l.decode(a, offset, row) })
}

// decode refuses any answer that is not exactly the page at offset: a list counts
// as empty only if it says so, and a row as missing only if all rows are there.
func (l list) decode(a *answer, offset int, row rowReader) (page, error) {
	p := page{total: -1, arrived: a.arrived, date: a.date()}
	if err := a.checkRead(); err != nil {
		return p, err
	}
	total, rows, err := twoFields(a.body, "total", l.key)
	if err != nil {
		return p, fmt.Errorf("the body is not a list: %s", a.text(err.Error(), maxMessage))
	}
	if total == nil || rows == nil {
		return p, errors.New("the body is a list without a total or without rows")
	}
	switch err := json.Unmarshal(total, &p.total); {
	case err != nil || p.total < 0:
		return p, fmt.Errorf("the total is not a number: %s", a.text(string(total), maxCode))
	case p.total > l.most:
		return p, fmt.Errorf("the list has %d rows, at most %d are read", p.total, l.most)
	}
	n, err := countRows(rows, pageLimit)
	if err != nil {
		return p, fmt.Errorf("the body is not a list: %w", err)
	}
	if whole := max(0, min(pageLimit, p.total-offset)); n != whole {
		return p, fmt.Errorf("the page has %d rows instead of %d", n, whole)
	}
	err = members(rows, func(_, text []byte) error {
		id, err := row(a, offset+p.rows, text)
		if err == nil {
			err = a.checkID(id)
		}
		if err != nil {
			return fmt.Errorf("row %d: %s", offset+p.rows, a.text(err.Error(), maxMessage))
		}
		if p.rows == 0 {
			p.first = id
		}
		p.last = id
		p.rows++
		return nil
	})
	return p, err
}

// rowsInto reads rows into all. check returns the ID of a row, and why it does not
// belong to the list.
func rowsInto[T any](all *[]T, check func(*answer, *T) (id string, err error)) rowReader {
	return func(a *answer, i int, row []byte) (string, error) {
		*all = append((*all)[:i], *new(T))
		value := &(*all)[i]
		if err := json.Unmarshal(row, value); err != nil {
			return "", err
		}
		return check(a, value)
	}
}

// sequence yields all rows that read returns, or its error alone. Nothing is read
// before the sequence is ranged over, and each time all of it.
func sequence[T any](read func() ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		all, err := read()
		if err != nil {
			yield(*new(T), err)
			return
		}
		for _, v := range all {
			if !yield(v, nil) {
				return
			}
		}
	}
}
