package private_test

import (
	"encoding/json"
	"fmt"

	"github.com/cobropay/cobro/private"
)

func ExampleText() {
	email := private.Text("valeria@example.com")
	fmt.Println(email)
	fmt.Println(string(email))
	data, err := json.Marshal(map[string]private.Text{"email": email})
	fmt.Println(string(data), err)
	// Output:
	// [private]
	// valeria@example.com
	// {"email":"valeria@example.com"} <nil>
}

func ExampleToken() {
	key := private.NewToken("sk_123")
	fmt.Println(key)
	fmt.Println(key.Reveal())
	_, err := json.Marshal(key)
	fmt.Println(err)
	// Output:
	// [private]
	// sk_123
	// json: error calling MarshalJSON for type private.Token: private: a token cannot be marshaled; call Reveal where it is sent
}
