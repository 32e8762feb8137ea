package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"
)

// load is how the clients are used in one row.
type load struct {
	same     bool // all use the same kind of transport, instead of what each has on its own
	parallel int
	oneAPI   bool // for all calls, instead of one for each worker
}

func (l load) String() string {
	transport, apis := "own transport", "an API each"
	if l.same {
		transport = "same transport"
	}
	if l.oneAPI {
		apis = "one API"
	}
	if l.parallel == 1 {
		return "loopback, " + transport + ", 1 at a time"
	}
	return fmt.Sprintf("loopback, %s, %d at a time, %s", transport, l.parallel, apis)
}

func loads() []load {
	var all []load
	for _, same := range []bool{true, false} {
		all = append(all,
			load{same, 1, false},
			load{same, 8, false}, load{same, 8, true},
			load{same, 64, false}, load{same, 64, true})
	}
	return all
}

// seen is what one client saw in one slice of a load.
type seen struct {
	latencies   []time.Duration
	errors      int
	first       error // of them
	elapsed     time.Duration
	cpu         time.Duration
	connections int
}

func (s seen) rate() float64 { return float64(len(s.latencies)) / s.elapsed.Seconds() }

// measureLoopback has the clients publish over loopback sockets, with the server in
// a process of its own, in slices and in an order that is shuffled for each round.
func measureLoopback(ctx context.Context, s settings, t *table) error {
	rounds, slice := 5, 150*time.Millisecond
	if s.quick {
		rounds, slice = 2, 50*time.Millisecond
	}
	server, err := startServer(ctx)
	if err != nil {
		return err
	}
	defer server.stop()
	measured := clients[:len(clients)-3] // a longer token is the same over a socket
	random := rand.New(rand.NewPCG(1, 2))
	for _, l := range loads() {
		results := make([][]seen, len(measured))
		for range rounds {
			for _, i := range random.Perm(len(measured)) {
				one, err := l.run(ctx, measured[i], server, slice)
				if err != nil {
					return fmt.Errorf("%v: %s: %w", l, measured[i].column, err)
				}
				results[i] = append(results[i], one)
			}
		}
		for i, c := range measured {
			l.report(t, c.column, results[i], results[indexOf(measured, colSafe)])
		}
	}
	return measureBatches(ctx, server, t)
}

func indexOf(clients []client, column string) int {
	for i, c := range clients {
		if c.column == column {
			return i
		}
	}
	return -1
}

// run uses a new client for a while.
func (l load) run(ctx context.Context, c client, s *server, slice time.Duration) (seen, error) {
	var total seen
	before, err := s.accepted()
	if err != nil {
		return total, err
	}
	g := gateway{url: s.url}
	if l.same {
		transport := newTransport()
		transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, 100
		defer transport.CloseIdleConnections()
		g.transport = transport
	}
	do, err := c.connect(g)
	if err != nil {
		return total, err
	}
	l.drive(ctx, do, slice/4) // opens the connections that it takes
	runtime.GC()
	total = l.drive(ctx, do, slice)
	after, err := s.accepted()
	total.connections = after - before
	if err == nil && len(total.latencies) == 0 {
		err = fmt.Errorf("no call has succeeded: %w", total.first)
	}
	return total, err
}

// drive has all workers make calls for a while.
func (l load) drive(ctx context.Context, do publish, slice time.Duration) seen {
	var (
		total   seen
		workers = make([]seen, l.parallel)
		all     sync.WaitGroup
	)
	begin, used := time.Now(), cpuTime()
	for i := range workers {
		id := distinctID(i)
		if l.oneAPI {
			id = distinctID(0)
		}
		all.Go(func() { workers[i].repeat(ctx, do, id, begin.Add(slice)) })
	}
	all.Wait()
	total.elapsed, total.cpu = time.Since(begin), cpuTime()-used
	for _, w := range workers {
		total.latencies = append(total.latencies, w.latencies...)
		total.errors += w.errors
		total.first = cmp.Or(total.first, w.first)
	}
	return total
}

// repeat makes one call after the other until the time is up.
func (s *seen) repeat(ctx context.Context, do publish, apiID string, until time.Time) {
	s.latencies = make([]time.Duration, 0, 4096)
	for begin := time.Now(); begin.Before(until); {
		err := do(ctx, apiID)
		end := time.Now()
		if err != nil {
			s.errors++
			s.first = err
		} else {
			s.latencies = append(s.latencies, end.Sub(begin))
		}
		begin = end
	}
}

// report adds the rows of the load for one client, whose rounds are compared with
// those of the baseline.
func (l load) report(t *table, column string, rounds, baseline []seen) {
	var (
		latencies      []time.Duration
		rates, against []float64
		cpu            []float64
		connections    []string
		calls, errors  int
	)
	for i, r := range rounds {
		latencies = append(latencies, r.latencies...)
		rates = append(rates, r.rate())
		against = append(against, r.rate()/baseline[i].rate())
		cpu = append(cpu, microseconds(r.cpu)/float64(len(r.latencies)+r.errors))
		connections = append(connections, amount(float64(r.connections)))
		calls += len(r.latencies) + r.errors
		errors += r.errors
	}
	set := func(what string, value float64, text string) { t.set(l.String()+": "+what, column, value, text) }
	p50, p99 := microseconds(quantile(latencies, 0.5)), microseconds(quantile(latencies, 0.99))
	set("p50 and p99, µs", p50, amount(p50)+", "+amount(p99))
	rate, ratio := quantile(rates, 0.5), spreadOf(against)
	set("calls/s", rate, amount(rate))
	if column == colSafe {
		set("calls/s, ratio", 1, "1")
	} else {
		set("calls/s, ratio", ratio.median, ratio.String())
	}
	used := quantile(cpu, 0.5)
	set("CPU a call, µs", used, amount(used))
	set("connections, round by round", 0, strings.Join(connections, " "))
	set("errors among the calls", float64(errors), fmt.Sprintf("%s of %s", amount(float64(errors)), amount(float64(calls))))
}

// measureBatches publishes a thousand APIs in one call, beside as many calls for one
// each.
func measureBatches(ctx context.Context, s *server, t *table) error {
	const row = "loopback, same transport: 1,000 APIs"
	transport := newTransport()
	transport.MaxIdleConnsPerHost = 100
	defer transport.CloseIdleConnections()
	g := gateway{s.url, http.RoundTripper(transport)}
	ids := make([]string, batchSize)
	for i := range ids {
		ids[i] = distinctID(i)
	}
	single, err := connectOurs(shortTokenBytes)(g)
	if err != nil {
		return err
	}
	batch, err := publishBatchOurs(g, ids)
	if err != nil {
		return err
	}
	officialBatch, err := publishBatchOfficial(g, ids)
	if err != nil {
		return err
	}
	for _, w := range []struct {
		name, column string
		run          func() error
	}{
		{"one by one, ms", colOurs, func() error { return eachOf(ctx, ids, 1, single) }},
		{"8 at a time, ms", colOurs, func() error { return eachOf(ctx, ids, 8, single) }},
		{"in one batch, ms", colOurs, batch},
		{"in one batch, ms", colOfficial, officialBatch},
	} {
		var took []time.Duration
		for range 4 { // the first is a trial
			begin := time.Now()
			if err := w.run(); err != nil {
				return err
			}
			took = append(took, time.Since(begin))
		}
		ms := microseconds(quantile(took[1:], 0.5)) / 1000
		t.set(row+" "+w.name, w.column, ms, decimals(ms))
	}
	return nil
}

// eachOf publishes all of ids, a few at a time.
func eachOf(ctx context.Context, ids []string, parallel int, do publish) error {
	failures := make([]error, parallel)
	var all sync.WaitGroup
	for worker := range parallel {
		all.Go(func() {
			for i := worker; i < len(ids) && failures[worker] == nil; i += parallel {
				failures[worker] = do(ctx, ids[i])
			}
		})
	}
	all.Wait()
	for _, err := range failures {
		if err != nil {
			return err
		}
	}
	return nil
}
