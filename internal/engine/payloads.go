package engine

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
	// encodingEncrypted marks an encrypted payload, by the convention of the
	// SDK's samples.
	encodingEncrypted = "binary/encrypted"
	// metadataKeyID names the key that encrypted, for whoever rotates keys.
	metadataKeyID = "encryption-key-id"
	// payloadContext binds what is sealed here to Temporal: stored in
	// histories, never rename.
	payloadContext = "temporal.payload"
)

// Sealer encrypts payloads. Its methods are called concurrently.
type Sealer interface {
	// Seal encrypts plain with the primary key and binds it to context.
	Seal(plain, context []byte) ([]byte, error)
	// Open decrypts what any key of the ring has sealed in the same context. A key
	// that it lacks is a [seal.ErrUnknownKey].
	Open(sealed, context []byte) ([]byte, error)
	// PrimaryID is the id of the key that Seal uses, which is not secret.
	PrimaryID() string
}

// NewDataConverter returns the SDK's default converter with every payload
// encrypted. A payload that arrives in clear is read as it is, so that one
// typed into a command line works. A workflow that meets a [seal.ErrUnknownKey]
// waits until the key is there.
func NewDataConverter(sealer Sealer) converter.DataConverter {
	return dataConverter{converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), codec{sealer})}
}

// dataConverter tells the code of a workflow apart from everybody else.
type dataConverter struct{ converter.DataConverter }

// WithContext implements [workflow.ContextAware].
func (c dataConverter) WithContext(context.Context) converter.DataConverter { return c }

// WithWorkflowContext implements [workflow.ContextAware].
func (c dataConverter) WithWorkflowContext(workflow.Context) converter.DataConverter {
	return workflowConverter(c)
}

// workflowConverter panics where an error would be final: the SDK ends a workflow
// whose input it cannot decode, and throws a signal away. A panic fails only the
// workflow task, which is tried again until a worker has the key.
type workflowConverter struct{ converter.DataConverter }

// FromPayload implements [converter.DataConverter].
func (c workflowConverter) FromPayload(payload *commonpb.Payload, dest any) error {
	return keyed(c.DataConverter.FromPayload(payload, dest))
}

// FromPayloads implements [converter.DataConverter].
func (c workflowConverter) FromPayloads(payloads *commonpb.Payloads, dest ...any) error {
	return keyed(c.DataConverter.FromPayloads(payloads, dest...))
}

// keyed lets every error pass but that of a missing key. What is damaged no
// waiting mends.
func keyed(err error) error {
	if errors.Is(err, seal.ErrUnknownKey) {
		panic(err)
	}
	return err
}

// NewFailureConverter returns a converter that encrypts the messages and stack
// traces of failures too. Error types stay readable, since retry policies name
// them: no personal data belongs there.
func NewFailureConverter(data converter.DataConverter) converter.FailureConverter {
	return temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter:          data,
		EncodeCommonAttributes: true,
	})
}

// codec seals whole payloads, so that their own metadata is hidden as well.
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
