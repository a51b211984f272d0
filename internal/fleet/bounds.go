package fleet

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"time"

	"multicloud.network/operator/internal/gather"
)

// bounded limits what one request, and one response, of a member can cost: how much is read, and how long it may take. Watches go on for as long as both sides like,
// once they have begun; what one of their events may hold is limited by client-go.
type bounded struct {
	next     http.RoundTripper
	maxBytes int64
	maxTime  time.Duration
}

// RoundTrip implements http.RoundTripper.
func (b *bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	watches := req.URL.Query().Get("watch")
	isWatch := watches == "true" || watches == "1"
	most := b.maxTime
	if isWatch {
		most = requestTimeout
	}
	timer := time.AfterFunc(most, cancel)
	resp, err := b.next.RoundTrip(req.WithContext(ctx))
	switch {
	case err != nil && ctx.Err() != nil && req.Context().Err() == nil:
		err = fmt.Errorf("%w: %w", os.ErrDeadlineExceeded, err)
	case err == nil && isWatch:
		timer.Stop()
		resp.Body = &boundedBody{ReadCloser: resp.Body, left: math.MaxInt64 - 1, cancel: cancel}
		return resp, nil
	case err == nil && resp.ContentLength > b.maxBytes:
		_ = resp.Body.Close()
		err = tooLarge(b.maxBytes)
	case err == nil:
		resp.Body = &boundedBody{ReadCloser: resp.Body, left: b.maxBytes, most: b.maxBytes, cancel: func() { timer.Stop(); cancel() }}
		return resp, nil
	}
	timer.Stop()
	cancel()
	return nil, err
}

func tooLarge(most int64) error {
	return fmt.Errorf("%w: %d bytes are the most", gather.ErrTooLarge, most)
}

// boundedBody ends with gather.ErrTooLarge after so many bytes. It counts what comes out of decompression.
type boundedBody struct {
	io.ReadCloser
	left, most int64
	cancel     context.CancelFunc
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, tooLarge(b.most)
	}
	// One more than is left tells a body that ends there from one that goes on.
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n - 1, tooLarge(b.most)
	}
	return n, err
}

// Close implements io.Closer.
func (b *boundedBody) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}
