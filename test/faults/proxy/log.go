package proxy

import (
	"fmt"
	"time"
)

// Injection is one fault that happened.
type Injection struct {
	// Seq numbers the faults of a proxy, from 1.
	Seq int
	// At is when.
	At time.Time
	// Request is what it happened to, its number and what it asked for; the zero value for a fault of the whole path.
	Request Request
	// Fault names it; Event is the type of the event that it happened to.
	Fault, Event string
}

// String is the line in the log.
func (i Injection) String() string {
	out := fmt.Sprintf("#%d %s", i.Seq, i.Fault)
	if i.Request.Seq > 0 {
		out += fmt.Sprintf(" request=%d %s %s %s", i.Request.Seq, i.Request.Verb, i.Request.Path, i.Request.Name)
	}
	if i.Event != "" {
		out += " event=" + i.Event
	}
	return out
}

// noteLocked logs a fault.
func (p *Proxy) noteLocked(r *Request, fault, event string) {
	i := Injection{Seq: len(p.injected) + 1, At: time.Now(), Fault: fault, Event: event}
	if r != nil {
		i.Request = *r
	}
	p.injected = append(p.injected, i)
	if p.opts.Log != nil {
		fmt.Fprintf(p.opts.Log, "proxy %s: %s\n", p.opts.Name, i)
	}
}

// note logs a fault of the whole path.
func (p *Proxy) note(fault string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noteLocked(nil, fault, "")
}

// Injected returns all faults that happened.
func (p *Proxy) Injected() []Injection {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Injection(nil), p.injected...)
}

// Mark is a moment in the life of a proxy, to count from.
type Mark int

// Mark returns this moment.
func (p *Proxy) Mark() Mark {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Mark(len(p.requests))
}

// Since returns the requests that a match picks and that came after a mark; the mark 0 is the beginning.
func (p *Proxy) Since(mark Mark, match Match) []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Request
	for _, r := range p.requests[mark:] {
		if match.matches(r) {
			out = append(out, *r)
		}
	}
	return out
}

// Count is the number of requests that Since returns.
func (p *Proxy) Count(mark Mark, match Match) int { return len(p.Since(mark, match)) }

// admit numbers a request and remembers it. done is to be called when it has been served.
func (p *Proxy) admit(r *Request) (done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, r)
	r.Seq = len(p.requests)
	if r.Verb == "watch" {
		return func() {}
	}
	p.underway++
	r.Underway = p.underway
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.underway--
	}
}

// answered notes the answer's code.
func (p *Proxy) answered(r *Request, code int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.Code = code
}
