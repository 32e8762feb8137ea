package apigtest

import "net/http"

// Handler is the gateway without its listener, to be put behind another
// server, such as one with its own TLS or one that shapes the traffic. It
// shares everything else with the listener's, and ends with it. To cut a
// connection it panics with [http.ErrAbortHandler] where it cannot hijack.
func (g *Gateway) Handler() http.Handler { return http.HandlerFunc(g.serve) }

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	if !g.life.enter() {
		panic(http.ErrAbortHandler)
	}
	defer g.life.leave()
	req, err := g.receive(w, r)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if f := g.faults.next(req); f != nil {
		g.suffer(w, r, req, f)
		return
	}
	g.send(w, req, g.process(req), -1)
}

// process does what the service does with a request: the front gateway looks
// at its size and its path, then come authentication and the instance, and
// last the request itself.
func (g *Gateway) process(r *Request) answer {
	a, err := g.judge(r)
	if err != nil {
		a = answerError(err, r.ID)
		if r.allow != "" && r.route == nil {
			a.header = http.Header{"Allow": {r.allow}}
		}
	}
	return a
}

func (g *Gateway) judge(r *Request) (answer, error) {
	if err := checkSize(r); err != nil {
		return answer{}, err
	}
	if r.Op == OpToken {
		return g.serveToken(r), nil
	}
	if r.route == nil {
		if r.allow != "" {
			return answer{}, refuse(http.StatusMethodNotAllowed, "APIGW.0101", "The API does not exist: method %s", r.Method)
		}
		return answer{}, refuse(http.StatusNotFound, "APIGW.0101", "The API does not exist or has not been published in the environment")
	}
	if err := g.authenticate(r); err != nil {
		return answer{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	i := g.instances[r.InstanceID]
	if i == nil || i.projectID != r.project {
		return answer{}, refuse(http.StatusNotFound, "APIG.3030", "The instance does not exist,id:%s", r.InstanceID)
	}
	return r.route.handle(i, r)
}

// checkSize has the limits of the front gateway; 494 is not in the register
// of HTTP, but in its manual.
func checkSize(r *Request) error {
	if r.tooLarge {
		return refuse(http.StatusRequestEntityTooLarge, "APIGW.0201", "Request entity too large")
	}
	if r.rawSize > 32<<10 {
		return refuse(http.StatusRequestURITooLong, "APIGW.0201", "Request URI too large")
	}
	total := 0
	for name, values := range r.Header {
		for _, v := range values {
			if len(v) > 32<<10 {
				return refuse(494, "APIGW.0201", "Request headers too large")
			}
			total += len(name) + len(v)
		}
	}
	if total > 128<<10 {
		return refuse(494, "APIGW.0201", "Request headers too large")
	}
	return nil
}
