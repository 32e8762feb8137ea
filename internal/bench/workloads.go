package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// The rows of what is run without a network. Each stands for several rows of the
// table, one for each thing that is measured.
const (
	rowPublish = "a publish"
	rowRefused = "a 404"
	rowBatch   = "an API in a batch of 1,000"
	rowSign    = "a signature"
	rowNew     = "making a client"
)

// batchSize is what the service takes in one request.
const batchSize = 1000

// group is work of one kind, measured side by side.
type group struct {
	baseline string // the column that the others are compared with; empty: none
	work     []workload
}

// workload is one cell of the table, as something to run.
type workload struct {
	row, column string
	units       int // how many times the thing happens in one run
	run         func() error
}

// groups makes all workloads. Each has been run once, and did what it should.
func groups() ([]group, error) {
	publishes, err := publishGroup()
	if err != nil {
		return nil, err
	}
	refusals, err := refusedGroup()
	if err != nil {
		return nil, err
	}
	signatures, err := signGroup()
	if err != nil {
		return nil, err
	}
	all := []group{publishes, refusals, signatures, newGroup()}
	for _, g := range all {
		for _, w := range g.work {
			if err := w.run(); err != nil {
				return nil, fmt.Errorf("%s with %s: %w", w.row, w.column, err)
			}
		}
	}
	return all, nil
}

func publishGroup() (group, error) {
	g := group{baseline: colSafe}
	for _, c := range clients {
		do, err := c.connect(gateway{stubURL, newStub(http.StatusCreated, recordOf(apiID))})
		if err != nil {
			return g, err
		}
		g.work = append(g.work, workload{rowPublish, c.column, 1, func() error { return do(context.Background(), apiID) }})
	}
	ids := make([]string, batchSize)
	for i := range ids {
		ids[i] = distinctID(i)
	}
	answer := batchOf(ids)
	for _, b := range []struct {
		column  string
		connect func(gateway, []string) (func() error, error)
	}{{colOfficial, publishBatchOfficial}, {colOurs, publishBatchOurs}} {
		do, err := b.connect(gateway{stubURL, newFixedStub(http.StatusOK, answer)}, ids)
		if err != nil {
			return g, err
		}
		g.work = append(g.work, workload{rowBatch, b.column, batchSize, do})
	}
	return g, nil
}

// distinctID makes an ID like those of the service, a different one for each i.
func distinctID(i int) string { return fmt.Sprintf("5f918d104dc84480a75166ba%08x", i) }

func refusedGroup() (group, error) {
	g := group{baseline: colSafe}
	for _, c := range clients {
		do, err := c.connect(gateway{stubURL, newStub(http.StatusNotFound, notFound(apiID))})
		if err != nil {
			return g, err
		}
		if err := do(context.Background(), apiID); err == nil || !strings.Contains(err.Error(), "APIG.3002") {
			return g, fmt.Errorf("%s does not report the 404: %w", c.column, err)
		}
		g.work = append(g.work, workload{rowRefused, c.column, 1, func() error {
			if do(context.Background(), apiID) == nil {
				return errors.New("a 404 was taken for a success")
			}
			return nil
		}})
	}
	return g, nil
}

// newGroup makes the clients that have no network yet.
func newGroup() group {
	var g group
	for _, c := range clients {
		g.work = append(g.work, workload{rowNew, c.column, 1, func() error {
			_, err := c.connect(gateway{stubURL, nil})
			return err
		}})
	}
	return g
}
