package simulation

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

var (
	flagScenario = flag.String("scenario", "", "the scenario to run; empty: all of them, in equal parts")
	flagSeed     = flag.Uint64("seed", 1, "the seed of the first world; the following ones have the following")
	flagCalls    = flag.Int("calls", 0, "how many calls TestSimulation makes, over all scenarios")
	flagKeep     = flag.String("keep", "", "what to keep of each world, as a failing one prints it")
	flagSpare    = flag.String("spare", "", "kinds of faults to leave out, by their names in the table, separated by commas")
	flagLanes    = flag.Int("lanes", 1, "how many processors to use; with more than one a world that fails may not fail again")
	flagTrace    = flag.Bool("trace", false, "print each world as it begins, should one end the whole program")
	flagShow     = flag.Int("show", -1, "tell the story of this call of the first world")
	flagShrink   = flag.Int("shrink", 400, "how often to run a failing world to make it smaller")
	flagFirst    = flag.Bool("first", false, "stop at the first finding")
	flagReports  = flag.Int("findings", 10, "how many findings to print, for each verdict and scenario")
)

// TestMain has one processor run everything, unless -lanes asks for more speed:
// of what happens at the same moment in a world, such as a batch that gives back
// hundreds of turns for which others wait, the order then is the same in every
// run. The race detector shuffles it all the same.
func TestMain(m *testing.M) {
	flag.Parse()
	runtime.GOMAXPROCS(*flagLanes)
	defer chanceByTime()()
	m.Run()
}

// inBubble runs a world in virtual time and judges it.
func inBubble(t *testing.T, p *plan) *judgment {
	if *flagSpare != "" {
		p.spared = strings.Split(*flagSpare, ",")
	}
	var w *world
	if leak := bubble(t, func() { w = run(p) }); leak != "" {
		if w == nil {
			return &judgment{world: &world{plan: p}, findings: []finding{{isLeak, -1, "", "", leak}}}
		}
		j := judge(w)
		j.findings = append(j.findings, finding{isLeak, -1, "", "", leak})
		return j
	}
	return judge(w)
}

// bubble runs do in a bubble, and returns what synctest says of goroutines that
// are left when do has returned, or that wait for each other.
func bubble(t *testing.T, do func()) (leak string) {
	defer func() {
		if r := recover(); r != nil {
			leak = fmt.Sprint(r)
		}
	}()
	synctest.Test(t, func(*testing.T) { do() })
	return ""
}

// worlds runs worlds of a scenario, with the seeds from first on, until they
// have made so many calls. They are counted in the order of
// their seeds.
func worlds(t *testing.T, s scenario, first uint64, calls int, keep choice) *tally {
	total := newTally(s.name)
	var (
		mu      sync.Mutex
		next    = first
		last    = first + uint64((calls+callsAWorld-1)/callsAWorld)
		done    = map[uint64]*judgment{}
		counted = first
	)
	t.Run(s.name, func(t *testing.T) {
		for lane := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(lane), func(t *testing.T) {
				t.Parallel()
				for {
					mu.Lock()
					seed := next
					next++
					stop := seed >= last || *flagFirst && len(total.found) > 0
					mu.Unlock()
					if stop {
						return
					}
					if *flagTrace {
						fmt.Printf("world %s %d\n", s.name, seed)
					}
					j := inBubble(t, keep.of(newPlan(s, seed)))
					mu.Lock()
					for done[seed] = j; done[counted] != nil; counted++ {
						total.add(done[counted])
						delete(done, counted)
					}
					mu.Unlock()
				}
			})
		}
	})
	return total
}

// complain prints the findings of a scenario, each with the line that repeats it
// and the world made as small as it gets.
func complain(t *testing.T, s scenario, total *tally) {
	if len(total.found) > 0 {
		t.Errorf("%s: %d findings", s.name, len(total.found))
	}
	printed := map[verdict]int{}
	for _, f := range total.found {
		if printed[f.verdict]++; printed[f.verdict] > *flagReports {
			continue
		}
		t.Errorf("%s, seed %d: %v", s.name, f.seed, f.finding)
		keep := choice{}
		if printed[f.verdict] == 1 && *flagShrink > 0 && f.verdict != isLeak {
			keep = shrink(newPlan(s, f.seed), func(p *plan) bool {
				for _, again := range inBubble(t, p).findings {
					if again.verdict == f.verdict && again.call == f.call && again.api == f.api {
						return true
					}
				}
				return false
			}, *flagShrink)
		}
		fmt.Printf("go -C internal/simulation test -run TestSimulation -calls 1 -scenario %s -seed %d -show %d -keep '%v'\n", s.name, f.seed, f.call, keep)
	}
}

// show tells the story of one call, or of an API if the order of its calls is
// what is wrong.
func show(t *testing.T, s scenario, keep choice) {
	j := inBubble(t, keep.of(newPlan(s, *flagSeed)))
	fmt.Print(j.story(*flagShow))
	for _, f := range j.findings {
		if f.call < 0 && *flagShow < 0 && f.api != "" {
			fmt.Print(j.orderStory(f.api))
		}
	}
}

// TestSimulation makes as many calls as it is told to, in worlds of new seeds.
func TestSimulation(t *testing.T) {
	if *flagCalls == 0 {
		t.Skip("it makes as many calls as -calls says")
	}
	keep, err := parseChoice(*flagKeep)
	if err != nil {
		t.Fatal(err)
	}
	var chosen []scenario
	for _, s := range scenarios {
		if *flagScenario == "" || s.name == *flagScenario {
			chosen = append(chosen, s)
		}
	}
	if len(chosen) == 0 {
		t.Fatalf("no scenario %q", *flagScenario)
	}
	if isSet("show") {
		show(t, chosen[0], keep)
		return
	}
	var tallies []*tally
	before := 0
	for _, s := range chosen {
		total := worlds(t, s, *flagSeed, *flagCalls/len(chosen), keep)
		tallies = append(tallies, total)
		complain(t, s, total)
		if *flagFirst && len(total.found) > 0 {
			fmt.Printf("first finding after %d calls: %s\n", before+total.found[0].calls, total.found[0].verdict)
			break
		}
		before += total.calls
	}
	var out bytes.Buffer
	print(&out, tallies)
	os.Stdout.Write(out.Bytes())
}

func isSet(name string) bool {
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}
