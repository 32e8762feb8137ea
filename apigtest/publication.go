package apigtest

import (
	"net/http"
	"slices"
	"time"
)

// publication is what the gateway keeps of one API in one environment.
type publication struct {
	id       string // the publish_id, which outlives the versions
	api      *api
	env      *environment
	seq      int        // journal number of the last change
	time     time.Time  // of the last publish or switch
	versions []*version // newest first
	current  *version   // in effect; nil when offline
}

type version struct {
	*publication
	id     string
	seq    int // journal number of its publish
	time   time.Time
	remark string
}

// An environment keeps this many versions of an API, and drops the oldest.
const keptVersions = 10

// publication finds what is known of an API in an environment; nil if it was
// never published there.
func (i *Instance) publication(apiID, envID string) (*publication, error) {
	a, err := i.api(apiID)
	if err != nil {
		return nil, err
	}
	if _, err := i.environment(envID); err != nil {
		return nil, err
	}
	return a.publications[envID], nil
}

// online publishes: every time a new version, whether the API is published
// already or not.
func (i *Instance) online(apiID, envID, remark string, by *Request) (*version, error) {
	p, err := i.publication(apiID, envID)
	if err != nil {
		return nil, err
	}
	if p == nil {
		p = &publication{id: i.gw.resourceIDs.next(), api: i.apisByID[apiID], env: i.envsByID[envID]}
		p.api.publications[envID] = p
	}
	v := &version{publication: p, id: i.gw.resourceIDs.next(), remark: remark}
	p.versions = slices.Insert(p.versions, 0, v)
	if len(p.versions) > keptVersions {
		delete(i.versions, p.versions[keptVersions].id)
		p.versions = p.versions[:keptVersions]
	}
	i.versions[v.id] = v
	p.current = v
	v.seq, v.time = i.applied("online", v, remark, by)
	p.seq, p.time = v.seq, v.time
	return v, nil
}

// offline takes the API out of an environment and returns the publication as
// it is now. Which error an API gets that is not published is not documented;
// this is the one whose text fits.
func (i *Instance) offline(apiID, envID, remark string, by *Request) (*publication, error) {
	p, err := i.publication(apiID, envID)
	if err != nil {
		return nil, err
	}
	if p == nil || p.current == nil {
		return nil, notPublished(apiID)
	}
	v := p.current
	p.current = nil
	p.seq, _ = i.applied("offline", v, remark, by)
	return p, nil
}

func notPublished(apiID string) error {
	return refuse(http.StatusNotFound, "APIG.3015", "The API publication record does not exist,id:%s", apiID)
}

// version finds a kept version.
func (i *Instance) version(id string) (*version, error) {
	if v := i.versions[id]; v != nil {
		return v, nil
	}
	return nil, noVersion(id)
}

func noVersion(id string) error {
	return refuse(http.StatusNotFound, "APIG.3022", "The API version does not exist,id:%s", id)
}

// switchTo brings a kept version of the API back into effect.
func (i *Instance) switchTo(apiID, versionID string, by *Request) (*version, error) {
	if _, err := i.api(apiID); err != nil {
		return nil, err
	}
	v, err := i.version(versionID)
	if err != nil {
		return nil, err
	}
	if v.api.id != apiID {
		return nil, noVersion(versionID)
	}
	v.current = v
	v.publication.seq, v.publication.time = i.applied("switch", v, v.remark, by)
	return v, nil
}

// offlineVersion takes a version down, which must be the one in effect.
func (i *Instance) offlineVersion(versionID string, by *Request) error {
	v, err := i.version(versionID)
	if err != nil {
		return err
	}
	if v.current != v {
		return noVersion(versionID)
	}
	v.current = nil
	v.publication.seq, _ = i.applied("offline-version", v, "", by)
	return nil
}

// history is all kept versions of an API in the environments that keep
// accepts, newest first.
func (a *api) history(keep func(*environment) bool) []*version {
	var all []*version
	for _, p := range a.publications {
		if keep(p.env) {
			all = append(all, p.versions...)
		}
	}
	slices.SortFunc(all, func(v, w *version) int { return w.seq - v.seq })
	return all
}
