package proxy

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// event is what rules look at in an event of a watch.
type event struct {
	Type   string `json:"type"`
	Object struct {
		Metadata struct {
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
		} `json:"metadata"`
	} `json:"object"`
}

// stream is a watch that is open.
type stream struct {
	info *Request
	// push takes events that the backend did not send.
	push chan []byte
	// done is closed when the watch has ended.
	done chan struct{}
	// held is the event that the next one overtakes; cut ends the watch after what is to be sent. Both belong to the goroutine that sends.
	held []byte
	cut  bool
}

// stream sends the events of a watch, each through the rules.
func (x *exchange) stream(body io.Reader) {
	s := &stream{info: x.info, push: make(chan []byte), done: make(chan struct{})}
	x.proxy.mu.Lock()
	x.proxy.streams[s] = true
	x.proxy.mu.Unlock()
	defer func() {
		x.proxy.mu.Lock()
		delete(x.proxy.streams, s)
		x.proxy.mu.Unlock()
		close(s.done)
	}()
	controller := http.NewResponseController(x.w)
	_ = controller.Flush() // the client waits for the header
	frames, ended := read(body, s.done)
	for {
		var send [][]byte
		select {
		case frame := <-frames:
			send = x.treat(s, frame)
		case frame := <-s.push:
			send = [][]byte{frame}
		case err := <-ended:
			if err != nil {
				x.abort()
			}
			return
		case <-x.r.Context().Done():
			return
		}
		for _, frame := range send {
			if _, err := x.w.Write(frame); err != nil {
				x.abort()
			}
		}
		_ = controller.Flush()
		if s.cut {
			return
		}
	}
}

// read splits a watch into its events, one a line, until it ends or stop is closed. That it ended follows all its events.
func read(body io.Reader, stop <-chan struct{}) (frames <-chan []byte, ended <-chan error) {
	out, end := make(chan []byte), make(chan error, 1)
	go func() {
		lines := bufio.NewReaderSize(body, 64<<10)
		for {
			frame, err := lines.ReadBytes('\n')
			if len(frame) > 0 && err == nil {
				select {
				case out <- frame:
				case <-stop:
					return
				}
			}
			if errors.Is(err, io.EOF) {
				end <- nil
				return
			}
			if err != nil {
				end <- err
				return
			}
		}
	}()
	return out, end
}

// treat returns what is sent in place of an event.
func (x *exchange) treat(s *stream, frame []byte) [][]byte {
	var e event
	var send [][]byte
	if json.Unmarshal(frame, &e) != nil {
		return [][]byte{frame}
	}
	if fault := x.proxy.judgeEvent(s.info, &e); fault != nil {
		send = fault.event(x, s, frame)
	} else {
		send = [][]byte{frame}
	}
	if s.held != nil && len(send) > 0 {
		send, s.held = append(send, s.held), nil
	}
	return send
}

// Expire tells every open watch that a match picks that it is too old (410), as a server does whose history was compacted, and returns how many there were.
func (p *Proxy) Expire(match Match) int {
	status := apierrors.NewResourceExpired("too old resource version: injected").Status()
	status.Kind, status.APIVersion = "Status", "v1"
	frame, err := json.Marshal(map[string]any{"type": "ERROR", "object": status})
	if err != nil {
		return 0
	}
	p.mu.Lock()
	var open []*stream
	for s := range p.streams {
		if match.matches(s.info) {
			open = append(open, s)
			p.noteLocked(s.info, "expire", "ERROR")
		}
	}
	p.mu.Unlock()
	slices.SortFunc(open, func(a, b *stream) int { return a.info.Seq - b.info.Seq })
	for _, s := range open {
		select {
		case s.push <- append(slices.Clone(frame), '\n'):
		case <-s.done:
		}
	}
	return len(open)
}

// Watching is the number of open watches that a match picks.
func (p *Proxy) Watching(match Match) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for s := range p.streams {
		if match.matches(s.info) {
			n++
		}
	}
	return n
}
