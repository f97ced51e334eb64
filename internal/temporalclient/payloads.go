package temporalclient

import (
	"context"
	"errors"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"

	"github.com/cobropay/cobro/internal/seal"
)

const (
	// encodingEncrypted marks an encrypted payload, as the SDK's samples do.
	encodingEncrypted = "binary/encrypted"
	// metadataKeyID names the key that encrypted the payload, for key rotation.
	metadataKeyID = "encryption-key-id"
	// payloadContext binds a sealed payload to Temporal. It is part of what is
	// stored in histories: never change it.
	payloadContext = "temporal.payload"
)

// Sealer encrypts payloads. Its methods are called concurrently.
type Sealer interface {
	// Seal encrypts plain with the primary key and binds it to context.
	Seal(plain, context []byte) ([]byte, error)
	// Open decrypts what any key of the ring has sealed with the same context.
	// Without that key it returns a [seal.ErrUnknownKey].
	Open(sealed, context []byte) ([]byte, error)
	// PrimaryID is the id of the key that Seal uses. It is not secret.
	PrimaryID() string
}

// NewDataConverter returns the SDK's default converter with encryption of every
// payload. A payload in clear is read as it is, so that one from a command line
// works. A workflow whose payload gives a [seal.ErrUnknownKey] waits until the
// process has the key.
func NewDataConverter(sealer Sealer) converter.DataConverter {
	return dataConverter{converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), codec{sealer})}
}

// dataConverter tells workflow code apart from all other code.
type dataConverter struct{ converter.DataConverter }

// WithContext implements [workflow.ContextAware].
func (c dataConverter) WithContext(context.Context) converter.DataConverter { return c }

// WithWorkflowContext implements [workflow.ContextAware].
func (c dataConverter) WithWorkflowContext(workflow.Context) converter.DataConverter {
	return workflowConverter(c)
}

// workflowConverter panics where an error would be final: the SDK fails a
// workflow whose input it cannot decode, and drops such a signal. A panic only
// fails the workflow task, which Temporal retries until a worker has the key.
type workflowConverter struct{ converter.DataConverter }

// FromPayload implements [converter.DataConverter].
func (c workflowConverter) FromPayload(payload *commonpb.Payload, dest any) error {
	return keyed(c.DataConverter.FromPayload(payload, dest))
}

// FromPayloads implements [converter.DataConverter].
func (c workflowConverter) FromPayloads(payloads *commonpb.Payloads, dest ...any) error {
	return keyed(c.DataConverter.FromPayloads(payloads, dest...))
}

// keyed returns every error except that of a missing key. Damaged data does not
// get better by waiting.
func keyed(err error) error {
	if errors.Is(err, seal.ErrUnknownKey) {
		panic(err)
	}
	return err
}

// NewFailureConverter returns a converter that also encrypts the messages and
// stack traces of failures. Error types stay in clear, because retry policies
// name them: never put personal data there.
func NewFailureConverter(data converter.DataConverter) converter.FailureConverter {
	return temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter:          data,
		EncodeCommonAttributes: true,
	})
}

// codec seals whole payloads, so that it hides their metadata too.
type codec struct{ sealer Sealer }

// Codec encrypts and decrypts payloads, for tools that read histories.
func Codec(sealer Sealer) converter.PayloadCodec { return codec{sealer} }

// Encode implements [converter.PayloadCodec].
func (c codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	encoded := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		plain, err := proto.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("encrypt payload: %w", err)
		}
		sealed, err := c.sealer.Seal(plain, []byte(payloadContext))
		if err != nil {
			return nil, fmt.Errorf("encrypt payload: %w", err)
		}
		encoded[i] = &commonpb.Payload{
			Metadata: map[string][]byte{
				converter.MetadataEncoding: []byte(encodingEncrypted),
				metadataKeyID:              []byte(c.sealer.PrimaryID()),
			},
			Data: sealed,
		}
	}
	return encoded, nil
}

// Decode implements [converter.PayloadCodec].
func (c codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	decoded := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		if string(p.GetMetadata()[converter.MetadataEncoding]) != encodingEncrypted {
			decoded[i] = p
			continue
		}
		plain, err := c.sealer.Open(p.GetData(), []byte(payloadContext))
		if err != nil {
			return nil, fmt.Errorf("decrypt payload: %w", err)
		}
		decoded[i] = new(commonpb.Payload)
		if err := proto.Unmarshal(plain, decoded[i]); err != nil {
			return nil, errors.New("decrypt payload: not a payload") // the cause could quote what was decrypted
		}
	}
	return decoded, nil
}
