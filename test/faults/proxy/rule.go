package proxy

import "slices"

// Rule says what happens to which requests, or to which events of watches.
type Rule struct {
	// Match picks the requests; for a fault of events, the watches, with Name and Namespace being the object's.
	Match Match
	// Events picks events of watches by type (ADDED, MODIFIED, DELETED, BOOKMARK, ERROR); empty picks all.
	Events []string
	// After lets so many matches pass first, Times ends the rule after so many faults; 0 is without end.
	After, Times int
	// Chance is the share of matches that the fault happens to, drawn from the proxy's seed; 0 is all of them.
	Chance float64
	// Fault is what happens.
	Fault Fault
}

// ActiveRule is a rule that is in force until it is removed.
type ActiveRule struct {
	proxy *Proxy
	rule  Rule
	// matches and faults are guarded by the proxy's lock.
	matches, faults int
}

// Add puts a rule into force, after those that are there: of several that match a request, the first decides.
func (p *Proxy) Add(rule Rule) *ActiveRule {
	p.mu.Lock()
	defer p.mu.Unlock()
	active := &ActiveRule{proxy: p, rule: rule}
	p.rules = append(p.rules, active)
	return active
}

// Remove ends a rule. What it holds up goes on.
func (a *ActiveRule) Remove() {
	a.proxy.mu.Lock()
	defer a.proxy.mu.Unlock()
	a.proxy.rules = slices.DeleteFunc(a.proxy.rules, func(other *ActiveRule) bool { return other == a })
}

// Faults is how often the rule struck.
func (a *ActiveRule) Faults() int {
	a.proxy.mu.Lock()
	defer a.proxy.mu.Unlock()
	return a.faults
}

// Clear removes all rules.
func (p *Proxy) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = nil
}

// strikes counts a match and says whether the fault happens to it; the lock is held.
func (a *ActiveRule) strikes() bool {
	a.matches++
	if a.matches <= a.rule.After || (a.rule.Times > 0 && a.faults >= a.rule.Times) {
		return false
	}
	if a.rule.Chance > 0 && a.proxy.random.Float64() >= a.rule.Chance {
		return false
	}
	a.faults++
	return true
}

// judge returns the fault that happens to a request; nil for none.
func (p *Proxy) judge(r *Request) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.rules {
		if a.rule.Fault.serve != nil && a.rule.Match.matches(r) && a.strikes() {
			r.Fault = a.rule.Fault.name
			p.noteLocked(r, a.rule.Fault.name, "")
			return &a.rule.Fault
		}
	}
	return nil
}

// judgeEvent returns the fault that happens to an event of a watch; nil for none.
func (p *Proxy) judgeEvent(r *Request, e *event) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	object := *r
	object.Name, object.Namespace = e.Object.Metadata.Name, e.Object.Metadata.Namespace
	for _, a := range p.rules {
		if a.rule.Fault.event == nil || !a.rule.Match.matches(&object) || (len(a.rule.Events) > 0 && !slices.Contains(a.rule.Events, e.Type)) {
			continue
		}
		if a.strikes() {
			p.noteLocked(&object, a.rule.Fault.name, e.Type)
			return &a.rule.Fault
		}
	}
	return nil
}
