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
	// Gateway is empty where dev calls the real ATH Móvil, and the tokens where they
	// are not the simulator's samples.
	Gateway      string `json:"gateway"`
	PublicToken  string `json:"public_token"`
	PrivateToken string `json:"private_token"`

	// What follows is empty where dev has another gateway than its own simulator:
	// nobody decides on real money because of the folder that they are in.

	API        string `json:"api"`
	APIKey     string `json:"api_key"`
	WebhookURL string `json:"webhook_url"`
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
		dev.API, dev.APIKey, dev.WebhookURL = "", "", ""
	}
	return dev.Dev, nil
}

// CallGatewayOf fills in what the settings do not say of ATH Móvil: beside a dev its
// calls go where dev's go. They never go to the real one because of the folder that
// somebody is in: the error is a [Problem] that says how to name it. A dev without a
// store, like none at all, fills in nothing.
func (s *Settings) CallGatewayOf(dev Dev) error {
	if dev.Store == "" || s.GatewayURL != "" && s.GatewayReportURL != "" {
		return nil
	}
	unnamed := Problem{Setting: "COBRO_GATEWAY_URL", Problem: "is not set, and the dev of this folder calls the real ATH Móvil"}
	switch {
	case s.GatewayURL != "":
		unnamed = Problem{Setting: "COBRO_GATEWAY_REPORT_URL", Problem: "is not set beside COBRO_GATEWAY_URL"}
	case s.GatewayReportURL != "":
		unnamed.Problem = "is not set beside COBRO_GATEWAY_REPORT_URL"
	case dev.Gateway != "":
		s.GatewayURL, s.GatewayReportURL = dev.Gateway, dev.Gateway
		s.PublicToken = cmp.Or(s.PublicToken, dev.PublicToken)
		if s.PrivateToken.IsZero() {
			s.PrivateToken = private.NewToken(dev.PrivateToken)
		}
		return nil
	}
	unnamed.Do = "set both addresses, or COBRO_STORE where this is not about the dev of this folder"
	return unnamed
}
