package settings

import "time"

// Defaults that no library has of its own. Programs use them where their Config
// says nothing.
const (
	// DefaultMerchantID is the merchant id of an installation that names none.
	DefaultMerchantID = "default"
	DefaultListen     = "127.0.0.1:8080"
	DefaultOpsListen  = "127.0.0.1:8081"
	// DefaultWait is how long a request waits for its outcome.
	DefaultWait  = 10 * time.Second
	DefaultDrain = 5 * time.Second
	// Stop timeouts differ: the API's includes the drain.
	DefaultAPIStopTimeout    = 15 * time.Second
	DefaultWorkerStopTimeout = 10 * time.Second
	// DefaultWaiting is how many customers a worker waits for at once.
	DefaultWaiting = 10_000
	// DefaultReconcileAt is a time of day in Puerto Rico.
	DefaultReconcileAt = "02:00"
)
