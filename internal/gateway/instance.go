package gateway

import (
	"encoding/binary"
	"encoding/hex"
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
	envsByID     map[string]*environment
	versions     map[string]*version // the kept ones of all APIs
	writing      map[string]bool     // APIs that a request is writing, by id
	collided     []string            // those of the batch that is being applied

	ownEnvironments []*environment // not made by a client
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

type environment struct {
	id, name, remark string
	created          time.Time
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
		envsByID:   make(map[string]*environment),
		versions:   make(map[string]*version),
		writing:    make(map[string]bool),
	}
	i.ownEnvironments = []*environment{i.addEnvironment(releaseID, "RELEASE", "")}
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
	e := i.environmentNamed(name)
	if e == nil {
		e = i.addEnvironment(i.gw.resourceIDs.next(), name, "")
	}
	if !slices.Contains(i.ownEnvironments, e) {
		i.ownEnvironments = append(i.ownEnvironments, e)
	}
	return e.id
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
		i.forget(p)
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

func (i *Instance) addEnvironment(id, name, remark string) *environment {
	e := &environment{id, name, remark, i.gw.clock.now()}
	i.environments = append(i.environments, e)
	i.envsByID[id] = e
	return e
}

func (i *Instance) removeEnvironment(e *environment) {
	for _, a := range i.apis {
		if p := a.publications[e.id]; p != nil {
			i.forget(p)
		}
	}
	delete(i.envsByID, e.id)
	i.environments = slices.DeleteFunc(i.environments, func(o *environment) bool { return o == e })
}

// forget drops a publication with its versions.
func (i *Instance) forget(p *publication) {
	for _, v := range p.versions {
		delete(i.versions, v.id)
	}
	delete(p.api.publications, p.env.id)
}

func (i *Instance) group(id string) *group {
	for _, in := range i.groups {
		if in.id == id {
			return in
		}
	}
	return nil
}

func (i *Instance) environmentNamed(name string) *environment {
	for _, e := range i.environments {
		if e.name == name {
			return e
		}
	}
	return nil
}

func (i *Instance) api(id string) (*api, error) {
	if a := i.apisByID[id]; a != nil {
		return a, nil
	}
	return nil, refuse(http.StatusNotFound, "APIG.3002", "API %s does not exist", id)
}

func (i *Instance) environment(id string) (*environment, error) {
	if e := i.envsByID[id]; e != nil {
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
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 16), s.rng.Uint64())
	return hex.EncodeToString(binary.BigEndian.AppendUint64(b, s.rng.Uint64()))
}
