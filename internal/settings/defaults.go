package settings

import "time"

// Defaults that no library has of its own. Programs use them where their Config
// says nothing.
const (
	DefaultMerchantID = "default"
	DefaultListen     = "127.0.0.1:8080"
	DefaultOpsListen  = "127.0.0.1:8081"
	DefaultWait       = 10 * time.Second // for the outcome of a request
	DefaultDrain      = 5 * time.Second
	// Stop timeouts differ: the API's includes the drain.
	DefaultAPIStopTimeout    = 15 * time.Second
	DefaultWorkerStopTimeout = 10 * time.Second
	DefaultReconcileAt       = "02:00" // in Puerto Rico
)
