package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Fault is something that happens to a request, or to an event of a watch. The functions of this package make them.
type Fault struct {
	name string
	// serve answers a request; event says what is sent in place of an event. One of them is set.
	serve func(*exchange)
	event func(*exchange, *stream, []byte) [][]byte
}

// String names the fault.
func (f Fault) String() string { return f.name }

// Pass does nothing: before another rule, it excepts what it matches.
func Pass() Fault { return Fault{name: "pass", serve: func(x *exchange) { x.pass(nil) }} }

// Delay forwards a request after a while.
func Delay(d time.Duration) Fault {
	return Fault{name: "delay " + d.String(), serve: func(x *exchange) {
		x.rest(d)
		x.pass(nil)
	}}
}

// rest waits, but not for a client that has gone.
func (x *exchange) rest(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.r.Context().Done():
		x.abort()
	}
}

// DropBefore ends a request without an answer, and does not forward it.
func DropBefore() Fault { return Fault{name: "drop before", serve: (*exchange).abort} }

// DropAfter forwards a request and ends it without an answer: what it did stays done.
func DropAfter() Fault {
	return Fault{name: "drop after", serve: func(x *exchange) {
		x.swallow()
		x.abort()
	}}
}

// swallow forwards a request and throws the answer away.
func (x *exchange) swallow() {
	answer, err := x.forward()
	if err != nil {
		return
	}
	x.proxy.answered(x.info, answer.StatusCode)
	_ = answer.Body.Close()
}

// LoseBefore lets a request vanish: no answer comes, and the connection stays.
func LoseBefore() Fault {
	return Fault{name: "lose before", serve: func(x *exchange) { <-x.r.Context().Done() }}
}

// LoseAfter forwards a request and lets the answer vanish.
func LoseAfter() Fault {
	return Fault{name: "lose after", serve: func(x *exchange) {
		x.swallow()
		<-x.r.Context().Done()
	}}
}

// Reset resets the connection, with all that is in flight on it.
func Reset() Fault {
	return Fault{name: "reset", serve: func(x *exchange) {
		x.reset()
		x.abort()
	}}
}

// reasons are those that API servers give with their codes.
var reasons = map[int]metav1.StatusReason{
	http.StatusUnauthorized: metav1.StatusReasonUnauthorized, http.StatusForbidden: metav1.StatusReasonForbidden,
	http.StatusNotFound: metav1.StatusReasonNotFound, http.StatusConflict: metav1.StatusReasonConflict,
	http.StatusGone: metav1.StatusReasonExpired, http.StatusRequestEntityTooLarge: metav1.StatusReasonRequestEntityTooLarge,
	http.StatusUnprocessableEntity: metav1.StatusReasonInvalid, http.StatusTooManyRequests: metav1.StatusReasonTooManyRequests,
	http.StatusInternalServerError: metav1.StatusReasonInternalError, http.StatusServiceUnavailable: metav1.StatusReasonServiceUnavailable,
	http.StatusGatewayTimeout: metav1.StatusReasonTimeout,
}

// Status answers with a code and the Status object of an API server.
func Status(code int) Fault { return StatusAfter(code, 0) }

// StatusAfter is Status with Retry-After, in whole seconds; 0 for none.
func StatusAfter(code int, retry time.Duration) Fault {
	seconds := int(retry / time.Second)
	name := fmt.Sprintf("status %d", code)
	if seconds > 0 {
		name += fmt.Sprintf(" after %ds", seconds)
	}
	return Fault{name: name, serve: func(x *exchange) {
		status := metav1.Status{
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
			Code: int32(code), Reason: reasons[code], Message: "injected", //nolint:gosec // an HTTP status
		}
		if seconds > 0 {
			status.Details = &metav1.StatusDetails{RetryAfterSeconds: int32(seconds)} //nolint:gosec // a test's few seconds
			x.w.Header().Set("Retry-After", strconv.Itoa(seconds))
		}
		body, err := json.Marshal(status)
		if err != nil {
			x.abort()
		}
		x.answer(code, "application/json", body)
	}}
}

// answer answers without the backend.
func (x *exchange) answer(code int, kind string, body []byte) {
	x.proxy.answered(x.info, code)
	x.w.Header().Set("Content-Type", kind)
	x.w.WriteHeader(code)
	_, _ = x.w.Write(body)
}

// Redirect sends the client elsewhere.
func Redirect(to string) Fault {
	return Fault{name: "redirect", serve: func(x *exchange) {
		x.proxy.answered(x.info, http.StatusTemporaryRedirect)
		http.Redirect(x.w, x.r, to, http.StatusTemporaryRedirect)
	}}
}

// GoAway answers, and asks the client to leave the connection (HTTP/2: GOAWAY).
func GoAway() Fault {
	return Fault{name: "goaway", serve: func(x *exchange) {
		x.w.Header().Set("Connection", "close")
		x.pass(nil)
	}}
}

// changed is a fault that changes an answer's bytes on their way.
func changed(name string, change func(io.Reader) io.Reader) Fault {
	return Fault{name: name, serve: func(x *exchange) { x.pass(change) }}
}

// Truncate ends an answer, as if it were whole, after some bytes.
func Truncate(bytes int64) Fault {
	return changed(fmt.Sprintf("truncate to %d", bytes), func(body io.Reader) io.Reader { return io.LimitReader(body, bytes) })
}

// Break breaks the connection in the middle of an answer, after some bytes.
func Break(bytes int64) Fault {
	return changed(fmt.Sprintf("break after %d", bytes), func(body io.Reader) io.Reader {
		return io.MultiReader(io.LimitReader(body, bytes), failing{})
	})
}

// failing is a body that fails.
type failing struct{}

// Read implements io.Reader.
func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Corrupt overwrites an answer from some byte on with bytes that are no text.
func Corrupt(from int64) Fault {
	return changed(fmt.Sprintf("corrupt from %d", from), func(body io.Reader) io.Reader {
		return io.MultiReader(io.LimitReader(body, from), &corrupting{body})
	})
}

type corrupting struct{ io.Reader }

// Read implements io.Reader.
func (c *corrupting) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	for i := range b[:n] {
		b[i] = 0xff
	}
	return n, err
}

// Slow sends an answer in parts of some bytes with a pause before each.
func Slow(bytes int, pause time.Duration) Fault {
	return Fault{name: fmt.Sprintf("slow %d bytes in %s", bytes, pause), serve: func(x *exchange) {
		x.pass(func(body io.Reader) io.Reader { return &slow{body, x, bytes, pause} })
	}}
}

type slow struct {
	io.Reader
	x     *exchange
	bytes int
	pause time.Duration
}

// Read implements io.Reader.
func (s *slow) Read(b []byte) (int, error) {
	s.x.rest(s.pause)
	return s.Reader.Read(b[:min(len(b), s.bytes)])
}

// timestamp is a time as Kubernetes writes it in JSON.
var timestamp = regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"`)

// shift moves every time in a text of JSON.
func shift(text []byte, by time.Duration) []byte {
	return timestamp.ReplaceAllFunc(text, func(found []byte) []byte {
		at, err := time.Parse(`"`+time.RFC3339Nano+`"`, string(found))
		if err != nil {
			return found
		}
		return []byte(at.Add(by).Format(`"` + time.RFC3339 + `"`))
	})
}

// Skew moves every time in an answer, its date included, as a server does whose clock is off. It is not for watches: SkewEvents is.
func Skew(by time.Duration) Fault {
	return Fault{name: "skew " + by.String(), serve: func(x *exchange) {
		answer, err := x.forward()
		if err != nil {
			x.abort()
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil {
			x.abort()
		}
		x.w.Header().Set("Date", time.Now().Add(by).UTC().Format(http.TimeFormat))
		x.answer(answer.StatusCode, answer.Header.Get("Content-Type"), shift(body, by))
	}}
}

// SkewEvents moves every time in events.
func SkewEvents(by time.Duration) Fault {
	return onEvent("skew events "+by.String(), func(_ *exchange, _ *stream, frame []byte) [][]byte { return [][]byte{shift(frame, by)} })
}

// object is a fault that changes the object or list in an answer of 200.
func object(name string, change func(map[string]any)) Fault {
	return Fault{name: name, serve: func(x *exchange) {
		answer, err := x.forward()
		if err != nil {
			x.abort()
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		var content map[string]any
		if err != nil || (answer.StatusCode == http.StatusOK && json.Unmarshal(body, &content) != nil) {
			x.abort()
		}
		if answer.StatusCode == http.StatusOK {
			change(content)
			if body, err = json.Marshal(content); err != nil {
				x.abort()
			}
		}
		x.answer(answer.StatusCode, answer.Header.Get("Content-Type"), body)
	}}
}

// EmptyList takes all items out of a list. A resource version other than "" replaces the list's own.
func EmptyList(resourceVersion string) Fault {
	return object("empty list "+resourceVersion, func(list map[string]any) {
		list["items"] = []any{}
		if metadata, ok := list["metadata"].(map[string]any); ok && resourceVersion != "" {
			metadata["resourceVersion"] = resourceVersion
		}
	})
}

// ShortList keeps the first items of a list only, as if those were all.
func ShortList(keep int) Fault {
	return object(fmt.Sprintf("short list %d", keep), func(list map[string]any) {
		if items, ok := list["items"].([]any); ok {
			list["items"] = items[:min(keep, len(items))]
		}
		if metadata, ok := list["metadata"].(map[string]any); ok {
			delete(metadata, "continue")
			delete(metadata, "remainingItemCount")
		}
	})
}

// Giant gives an object, or the first of a list, an annotation of many bytes.
func Giant(bytes int) Fault {
	return object(fmt.Sprintf("giant %d", bytes), func(content map[string]any) {
		if items, ok := content["items"].([]any); ok && len(items) > 0 {
			content, _ = items[0].(map[string]any)
		}
		if metadata, ok := content["metadata"].(map[string]any); ok {
			metadata["annotations"] = map[string]any{"giant": strings.Repeat("x", bytes)}
		}
	})
}

// Recording holds answers to lists, to be given once more.
type Recording struct {
	mu      sync.Mutex
	answers map[string][]byte
}

// NewRecording returns an empty recording.
func NewRecording() *Recording { return &Recording{answers: map[string][]byte{}} }

// key tells lists apart, but for where they begin.
func (r *Recording) key(x *exchange) string {
	query := x.r.URL.Query()
	return x.r.URL.Path + "?" + query.Get("labelSelector") + "&" + query.Get("fieldSelector")
}

// Record passes lists on and keeps the newest answer to each.
func Record(r *Recording) Fault {
	return Fault{name: "record", serve: func(x *exchange) {
		var kept bytes.Buffer
		x.pass(func(body io.Reader) io.Reader { return io.TeeReader(body, &kept) })
		r.mu.Lock()
		defer r.mu.Unlock()
		r.answers[r.key(x)] = kept.Bytes()
	}}
}

// Replay answers lists with what was recorded, as a server does that lags behind; those that were not recorded pass.
func Replay(r *Recording) Fault {
	return Fault{name: "replay", serve: func(x *exchange) {
		r.mu.Lock()
		answer, ok := r.answers[r.key(x)]
		r.mu.Unlock()
		if !ok {
			x.pass(nil)
			return
		}
		x.answer(http.StatusOK, "application/json", answer)
	}}
}

// onEvent is a fault of events.
func onEvent(name string, event func(*exchange, *stream, []byte) [][]byte) Fault {
	return Fault{name: name, event: event}
}

// SkipEvent keeps an event from the client.
func SkipEvent() Fault {
	return onEvent("skip event", func(*exchange, *stream, []byte) [][]byte { return nil })
}

// RepeatEvent sends an event twice.
func RepeatEvent() Fault {
	return onEvent("repeat event", func(_ *exchange, _ *stream, frame []byte) [][]byte { return [][]byte{frame, frame} })
}

// OvertakeEvent sends an event after the one that follows it.
func OvertakeEvent() Fault {
	return onEvent("overtake event", func(_ *exchange, s *stream, frame []byte) [][]byte {
		if s.held != nil {
			return [][]byte{frame} // treat appends the one that was held
		}
		s.held = bytes.Clone(frame)
		return nil
	})
}

// DelayEvent sends an event, and all that follow it, after a while.
func DelayEvent(d time.Duration) Fault {
	return onEvent("delay event "+d.String(), func(x *exchange, _ *stream, frame []byte) [][]byte {
		x.rest(d)
		return [][]byte{frame}
	})
}

// CorruptEvent sends bytes that are no event in place of one.
func CorruptEvent() Fault {
	return onEvent("corrupt event", func(*exchange, *stream, []byte) [][]byte { return [][]byte{[]byte("{\"type\":\xff\xff\n")} })
}

// CutEvent ends the watch in the middle of an event.
func CutEvent() Fault {
	return onEvent("cut event", func(_ *exchange, s *stream, frame []byte) [][]byte {
		s.cut = true
		return [][]byte{frame[:len(frame)/2]}
	})
}

// NoBookmarks is the rule that keeps all bookmarks of some resources from the client; of all if there are none.
func NoBookmarks(resources ...string) Rule {
	return Rule{Match: Watches(resources...), Events: []string{"BOOKMARK"}, Fault: SkipEvent()}
}
