package settings

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/cobropay/cobro/private"
)

// Dev is what a running dev writes into addresses.json of its data folder, as
// far as commands beside it need it.
type Dev struct {
	Temporal  string `json:"temporal"`
	Namespace string `json:"namespace"`
	Store     string `json:"store"`
	KeyFile   string `json:"key_file"`

	// What follows is empty where dev has another gateway than its own simulator:
	// nobody decides on real money because of the folder that they are in.

	API          string `json:"api"`
	APIKey       string `json:"api_key"`
	Gateway      string `json:"gateway"`
	PublicToken  string `json:"public_token"`
	PrivateToken string `json:"private_token"`
	WebhookURL   string `json:"webhook_url"`
}

// ReadDev reads the data folder of a running dev: COBRO_DATA, or .cobro in the
// current folder. It returns the zero value where there is none, and where
// COBRO_STORE or TEMPORAL_ADDRESS says that the installation is another one.
func ReadDev(getenv func(string) string) (Dev, error) {
	for _, name := range []string{"COBRO_STORE", "COBRO_STORE" + fileSuffix, "TEMPORAL_ADDRESS"} {
		if getenv(name) != "" {
			return Dev{}, nil
		}
	}
	named := getenv("COBRO_DATA")
	path := filepath.Join(cmp.Or(named, ".cobro"), "addresses.json")
	data, err := private.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && named == "" {
		return Dev{}, nil // no dev here; whoever needs something says what is missing
	}
	if err != nil {
		return Dev{}, fmt.Errorf("%w (COBRO_DATA names the data folder of a running dev)", err)
	}
	var dev struct {
		Dev

		Simulator string `json:"gateway_control"`
	}
	if err := json.Unmarshal([]byte(data.Reveal()), &dev); err != nil {
		return Dev{}, fmt.Errorf("%s: %w", path, err)
	}
	if dev.Simulator == "" {
		return Dev{Temporal: dev.Temporal, Namespace: dev.Namespace, Store: dev.Store, KeyFile: dev.KeyFile}, nil
	}
	return dev.Dev, nil
}
