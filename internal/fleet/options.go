package fleet

import (
	"cmp"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// Options configure a Fleet. Zero durations and counts mean the defaults that their fields name.
type Options struct {
	// Hub is how to reach the hub, for members with access local.
	Hub *rest.Config
	// Scheme knows the kinds that users of a Connection's client write, and those of Kubernetes itself; client-go's.
	Scheme *runtime.Scheme
	// Logger is used with the key "cluster".
	Logger logr.Logger
	// Now is the clock; time.Now.
	Now func() time.Time
	// ProbeInterval and ProbeTimeout say how often a member is probed and how long it may take: 5 s and 4 s.
	ProbeInterval, ProbeTimeout time.Duration
	// ProbeFailures is the number of probes that must fail in a row before a member counts as unreachable, and ProbePatience is for how long at least: 2, over
	// 8/5 of a ProbeInterval. After one that failed the next comes soon. A 401 counts at once.
	//
	// One that hangs is so found after at most an interval, two timeouts and the pause between them: 13.5 s. One that is away for 5 s is no news.
	ProbeFailures int
	ProbePatience time.Duration
	// BackoffMin and BackoffMax bound the pause before the next try to connect: 1 s and 30 s.
	BackoffMin, BackoffMax time.Duration
	// SyncTimeout bounds the wait for a first complete view, OptionalTimeout its wait for the kinds that may be missing: 5 min and 15 s.
	SyncTimeout, OptionalTimeout time.Duration
	// FrozenTimeout is how long a list or watch of a required kind may fail before the member counts as out of sight: 1 min.
	FrozenTimeout time.Duration
	// RefreshInterval is how often the Kubernetes version and kinds that are not served yet are looked for: 1 min.
	RefreshInterval time.Duration
	// MaxResponseBytes is the most that is read of one response that is not a watch, after decompression: 256 MiB, which is about 50,000 pods. A member that sends
	// more fails to be listed.
	MaxResponseBytes int64
}

func (o *Options) setDefaults() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Scheme == nil {
		o.Scheme = scheme.Scheme
	}
	o.ProbeInterval = cmp.Or(o.ProbeInterval, 5*time.Second)
	o.ProbeTimeout = cmp.Or(o.ProbeTimeout, 4*time.Second)
	o.ProbePatience = cmp.Or(o.ProbePatience, o.ProbeInterval*8/5)
	o.ProbeFailures = cmp.Or(o.ProbeFailures, 2)
	o.BackoffMin = cmp.Or(o.BackoffMin, time.Second)
	o.BackoffMax = cmp.Or(o.BackoffMax, 30*time.Second)
	o.SyncTimeout = cmp.Or(o.SyncTimeout, 5*time.Minute)
	o.OptionalTimeout = cmp.Or(o.OptionalTimeout, 15*time.Second)
	o.FrozenTimeout = cmp.Or(o.FrozenTimeout, time.Minute)
	o.RefreshInterval = cmp.Or(o.RefreshInterval, time.Minute)
	o.MaxResponseBytes = cmp.Or(o.MaxResponseBytes, 256<<20)
}
