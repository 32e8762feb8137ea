package gateway

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Instance is one dedicated gateway of a project: its APIs, environments and
// publications. Instances share the clock, the tokens, the journal and the
// faults of the Gateway they belong to.
type Instance struct {
	gw         *Gateway
	projectID  string
	instanceID string

	// All below is guarded by gw.mu.
	apis         []*api
	groups       []*group
	environments []*environment
	apisByID     map[string]*api
	versions     map[string]*version // the kept ones of all APIs
}

type api struct {
	id, name     string
	group        *group
	registered   time.Time
	publications map[string]*publication // by environment id
}

type group struct {
	id, name string
	created  time.Time
}

// environment is one as it is listed.
type environment struct {
	Created time.Time `json:"create_time"`
	Name    string    `json:"name"`
	Remark  string    `json:"remark"`
	ID      string    `json:"id"`
}

// The environment that every instance has from the start.
const releaseID = "DEFAULT_ENVIRONMENT_RELEASE_ID"

// AddInstance adds an instance. An empty id is generated. The project becomes
// known to IAM: the first one is named as the region, others as sub-projects of it.
// Adding an instance that exists returns that one.
func (g *Gateway) AddInstance(projectID, instanceID string) *Instance {
	if projectID == "" {
		projectID = g.resourceIDs.next()
	}
	if instanceID == "" {
		instanceID = g.resourceIDs.next()
	}
	g.access.addProject(projectID)
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := g.instances[instanceID]; i != nil {
		return i
	}
	i := &Instance{
		gw:         g,
		projectID:  projectID,
		instanceID: instanceID,
		apisByID:   make(map[string]*api),
		versions:   make(map[string]*version),
	}
	i.addEnvironment(releaseID, "RELEASE")
	i.addGroup(g.resourceIDs.next(), "DEFAULT")
	g.instances[instanceID] = i
	return i
}

// ProjectID is the id of the project that the instance belongs to.
func (i *Instance) ProjectID() string { return i.projectID }

// InstanceID is the id of the instance itself.
func (i *Instance) InstanceID() string { return i.instanceID }

// AddAPI adds an API, published nowhere yet, to the group DEFAULT.
func (i *Instance) AddAPI(name string) (id string) {
	i.gw.mu.Lock()
	defer i.gw.mu.Unlock()
	return i.addAPI(i.groups[0], name)
}

// AddGroup adds a group of APIs.
func (i *Instance) AddGroup(name string) (id string) {
	i.gw.mu.Lock()
	defer i.gw.mu.Unlock()
	return i.addGroup(i.gw.resourceIDs.next(), name).id
}

// AddAPIIn adds an API to a group. A group that does not exist is added under
// that id.
func (i *Instance) AddAPIIn(groupID, name string) (id string) {
	i.gw.mu.Lock()
	defer i.gw.mu.Unlock()
	in := i.group(groupID)
	if in == nil {
		in = i.addGroup(groupID, groupID)
	}
	return i.addAPI(in, name)
}

// AddEnvironment adds an environment, or returns the id of the one that has
// this name.
func (i *Instance) AddEnvironment(name string) (id string) {
	i.gw.mu.Lock()
	defer i.gw.mu.Unlock()
	if e := find(i.environments, func(e *environment) bool { return e.Name == name }); e != nil {
		return e.ID
	}
	return i.addEnvironment(i.gw.resourceIDs.next(), name).ID
}

// RemoveAPI deletes an API with its versions, published or not. The service
// would make its caller take the API offline first.
func (i *Instance) RemoveAPI(id string) {
	i.gw.mu.Lock()
	defer i.gw.mu.Unlock()
	a := i.apisByID[id]
	if a == nil {
		return
	}
	for _, p := range a.publications {
		for _, v := range p.versions {
			delete(i.versions, v.id)
		}
	}
	delete(i.apisByID, id)
	i.apis = slices.DeleteFunc(i.apis, func(o *api) bool { return o == a })
}

func (i *Instance) addAPI(in *group, name string) string {
	a := &api{
		id:           i.gw.resourceIDs.next(),
		name:         name,
		group:        in,
		registered:   i.gw.clock.now(),
		publications: make(map[string]*publication),
	}
	i.apis = append(i.apis, a)
	i.apisByID[a.id] = a
	return a.id
}

func (i *Instance) addGroup(id, name string) *group {
	added := &group{id, name, i.gw.clock.now()}
	i.groups = append(i.groups, added)
	return added
}

func (i *Instance) addEnvironment(id, name string) *environment {
	e := &environment{Created: i.gw.clock.now(), Name: name, ID: id}
	i.environments = append(i.environments, e)
	return e
}

// find returns the first one that fits, or nil.
func find[T any](all []*T, fits func(*T) bool) *T {
	if n := slices.IndexFunc(all, fits); n >= 0 {
		return all[n]
	}
	return nil
}

func (i *Instance) group(id string) *group {
	return find(i.groups, func(in *group) bool { return in.id == id })
}

func (i *Instance) api(id string) (*api, error) {
	if a := i.apisByID[id]; a != nil {
		return a, nil
	}
	return nil, refuse(http.StatusNotFound, "APIG.3002", "API %s does not exist", id)
}

func (i *Instance) environment(id string) (*environment, error) {
	if e := find(i.environments, func(e *environment) bool { return e.ID == id }); e != nil {
		return e, nil
	}
	return nil, refuse(http.StatusNotFound, "APIG.3003", "Environment %s does not exist", id)
}

// ids makes identifiers in the form of the service: 32 hexadecimal digits.
type ids struct {
	mu  sync.Mutex
	rng *rand.Rand
}

// Each kind of identifier has a stream of its own: otherwise the number of
// requests would decide which id the next version gets.
const (
	resourceIDs = iota
	requestIDs
	tokenIDs
)

func newIDs(seed, stream uint64) *ids {
	return &ids{rng: rand.New(rand.NewPCG(seed, stream))}
}

func (s *ids) next() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%016x%016x", s.rng.Uint64(), s.rng.Uint64())
}
