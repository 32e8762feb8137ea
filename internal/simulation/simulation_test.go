package simulation

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
)

var (
	flagScenario = flag.String("scenario", "", "the scenario to run; empty: all of them, in equal parts")
	flagSeed     = flag.Uint64("seed", 1, "the seed of the first world; the following ones have the following")
	flagCalls    = flag.Int("calls", 100_000, "how many calls TestSimulation makes, over all scenarios")
	flagKeep     = flag.String("keep", "", "what to keep of each world, as a failing one prints it")
	flagLanes    = flag.Int("lanes", 1, "how many processors to use; with more than one a world that fails may not fail again")
	flagTrace    = flag.Bool("trace", false, "print each world as it begins, should one end the whole program")
	flagShow     = flag.Int("show", -1, "tell the story of this call of the first world")
	flagShrink   = flag.Int("shrink", 400, "how often to run a failing world to make it smaller")
	flagTags     = flag.Float64("tags", -1, "the share of the processes with tags; negative: as the scenario says")
	flagKind     = flag.Bool("kind", false, "kind worlds: one answer in a hundred is lost, nobody has little time, nobody else is there")
	flagConflict = flag.Float64("conflicts", -1, "negative: as the scenario says; or in which share of the worlds the gateway answers a write to an API with an error while another is under way")
	flagFirst    = flag.Bool("first", false, "stop at the first finding")
	flagReports  = flag.Int("findings", 10, "how many findings to print, for each verdict and scenario")
)

// TestMain has one processor run everything, unless -lanes asks for more speed: most
// of what happens at the same moment in a world then has the same order in every run.
func TestMain(m *testing.M) {
	flag.Parse()
	runtime.GOMAXPROCS(*flagLanes)
	defer chanceByTime()()
	m.Run()
}

// worlds runs worlds of a scenario, with the seeds from first on, until they
// have made so many calls. They are counted in the order of
// their seeds.
func worlds(t *testing.T, s scenario, first uint64, calls int, keep choice) *tally {
	total := newTally(s.name)
	var (
		mu      sync.Mutex
		next    = first
		last    = first + uint64((calls+s.calls-1)/s.calls)
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
				for range 3 { // calls that wait for the same instant go on in any order
					for _, again := range inBubble(t, p).findings {
						if again.verdict == f.verdict && again.call == f.call && again.api == f.api {
							return true
						}
					}
				}
				return false
			}, *flagShrink)
		}
		fmt.Printf("go -C internal/simulation test . -run TestSimulation -calls 1 -scenario %s -seed %d -show %d -keep '%v'%s\n", s.name, f.seed, f.call, keep, asGiven())
	}
}

// show tells the story of one call.
func show(t *testing.T, s scenario, keep choice) {
	j := inBubble(t, keep.of(newPlan(s, *flagSeed)))
	fmt.Print(j.story(*flagShow))
}

// TestSimulation makes as many calls as it is told to, in worlds of new seeds.
func TestSimulation(t *testing.T) {
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
	for i := range chosen {
		chosen[i] = chosen[i].asFlags()
	}
	if isSet("show") {
		show(t, chosen[0], keep)
		return
	}
	var tallies []*tally
	before := 0
	for _, s := range chosen {
		calls := *flagCalls / len(chosen)
		if s.name == "pages" && len(chosen) > 1 {
			calls /= 40 // each is of hundreds of APIs
		}
		total := worlds(t, s, *flagSeed, calls, keep)
		tallies = append(tallies, total)
		complain(t, s, total)
		if *flagFirst && len(total.found) > 0 {
			fmt.Printf("first finding after %d calls: %s\n", before+total.found[0].calls, total.found[0].verdict)
			break
		}
		before += total.calls
	}
	print(os.Stdout, tallies)
}

// regressions are worlds that have found something.
var regressions = []struct {
	scenario string
	seed     uint64
	found    string
}{
	{"outages", 9, "a history that the service refused for long ended the look at all others"},
}

func TestRegressions(t *testing.T) {
	for _, r := range regressions {
		s, ok := scenarioNamed(r.scenario)
		if !ok {
			t.Fatalf("no scenario %q", r.scenario)
		}
		complain(t, s, worlds(t, s, r.seed, 1, choice{}))
	}
}

// asFlags is the scenario as the flags change it.
func (s scenario) asFlags() scenario {
	if *flagTags >= 0 {
		s.tags = *flagTags
	}
	if *flagKind {
		s = s.gentle()
	}
	if *flagConflict >= 0 {
		s.conflicts = *flagConflict
	}
	return s
}

// asGiven are the flags that change a scenario, as they were given.
func asGiven() string {
	s := ""
	flag.Visit(func(f *flag.Flag) {
		if f.Name == "kind" || f.Name == "tags" || f.Name == "conflicts" {
			s += fmt.Sprintf(" -%s=%v", f.Name, f.Value)
		}
	})
	return s
}

func isSet(name string) bool {
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}
