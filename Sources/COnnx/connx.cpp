// File: parsing and what a file holds at its top. See connx.h for the contract.
#include "connx.h"

#include <climits>
#include <exception>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/unknown_field_set.h>
#include <onnx/onnx-data_pb.h>
#include <onnx/onnx_pb.h>

namespace {

// Nested messages allowed; a subgraph costs three levels (graph, node, attribute).
constexpr int kRecursionLimit = 100;

// Fields that libonnx 1.12 does not know yet, by their numbers in onnx.proto.
constexpr int kFunctionDefaultAttributes = 11;
constexpr int kFunctionOverload = 13;
constexpr int kNodeOverload = 8;

template <typename Message>
std::unique_ptr<Message> parse(const void *bytes, size_t size) {
  auto message = std::make_unique<Message>();
  google::protobuf::io::ArrayInputStream array(bytes, static_cast<int>(size));
  google::protobuf::io::CodedInputStream stream(&array);
  stream.SetTotalBytesLimit(INT_MAX);
  stream.SetRecursionLimit(kRecursionLimit);
  if (!message->MergePartialFromCodedStream(&stream) || !stream.ConsumedEntireMessage()) return nullptr;
  return message;
}

connx_text text(const std::string &value) { return {value.data(), value.size()}; }

template <typename Field>
connx_array array(const Field &field) {
  return {field.data(), static_cast<size_t>(field.size())};
}

connx_text unknown_text(const google::protobuf::UnknownFieldSet &fields, int number) {
  for (int i = 0; i < fields.field_count(); i++) {
    const auto &field = fields.field(i);
    if (field.number() == number && field.type() == google::protobuf::UnknownField::TYPE_LENGTH_DELIMITED)
      return text(field.length_delimited());
  }
  return {nullptr, 0};
}

using Defaults = std::vector<std::unique_ptr<onnx::AttributeProto>>;

bool parse_defaults(const onnx::FunctionProto &function, Defaults &defaults) {
  const auto &fields = function.unknown_fields();
  for (int i = 0; i < fields.field_count(); i++) {
    const auto &field = fields.field(i);
    if (field.number() != kFunctionDefaultAttributes ||
        field.type() != google::protobuf::UnknownField::TYPE_LENGTH_DELIMITED)
      continue;
    const std::string &bytes = field.length_delimited();
    auto attribute = parse<onnx::AttributeProto>(bytes.data(), bytes.size());
    if (!attribute) return false;
    defaults.push_back(std::move(attribute));
  }
  return true;
}

}  // namespace

// A function together with its default attributes, which live outside the message.
struct connx_function {
  const onnx::FunctionProto *proto;
  Defaults defaults;
};

struct connx_file {
  std::unique_ptr<onnx::ModelProto> model;
  std::unique_ptr<onnx::TensorProto> tensor;
  std::unique_ptr<onnx::SequenceProto> sequence;
  std::unique_ptr<onnx::OptionalProto> optional;
  std::vector<std::unique_ptr<connx_function>> functions;
};

// Borrowed handles are the protobuf objects themselves under an opaque name.
#define FACE(name, Proto)                                                                           \
  static inline const onnx::Proto *in(const connx_##name *handle) {                                 \
    return reinterpret_cast<const onnx::Proto *>(handle);                                           \
  }                                                                                                 \
  static inline const connx_##name *out(const onnx::Proto *message) {                               \
    return reinterpret_cast<const connx_##name *>(message);                                         \
  }
FACE(graph, GraphProto)
FACE(node, NodeProto)
FACE(attribute, AttributeProto)
FACE(tensor, TensorProto)
FACE(sparse, SparseTensorProto)
FACE(value_info, ValueInfoProto)
FACE(type, TypeProto)
FACE(sequence, SequenceProto)
FACE(optional, OptionalProto)
#undef FACE

#define AT(list) list(static_cast<int>(index))

extern "C" {

connx_file *connx_file_parse(const void *bytes, size_t size, connx_kind kind) {
  if (size > INT_MAX || (bytes == nullptr && size > 0)) return nullptr;
  try {
    google::protobuf::LogSilencer silence;
    auto file = std::make_unique<connx_file>();
    bool parsed = false;
    switch (kind) {
      case CONNX_MODEL:
        file->model = parse<onnx::ModelProto>(bytes, size);
        parsed = file->model != nullptr;
        break;
      case CONNX_TENSOR:
        file->tensor = parse<onnx::TensorProto>(bytes, size);
        parsed = file->tensor != nullptr;
        break;
      case CONNX_SEQUENCE:
        file->sequence = parse<onnx::SequenceProto>(bytes, size);
        parsed = file->sequence != nullptr;
        break;
      case CONNX_OPTIONAL:
        file->optional = parse<onnx::OptionalProto>(bytes, size);
        parsed = file->optional != nullptr;
        break;
    }
    if (!parsed) return nullptr;
    if (file->model) {
      for (const auto &function : file->model->functions()) {
        auto handle = std::make_unique<connx_function>();
        handle->proto = &function;
        if (!parse_defaults(function, handle->defaults)) return nullptr;
        file->functions.push_back(std::move(handle));
      }
    }
    return file.release();
  } catch (...) {
    return nullptr;
  }
}

void connx_file_free(connx_file *file) {
  try {
    delete file;
  } catch (...) {
  }
}

int64_t connx_model_ir_version(const connx_file *file) { return file->model ? file->model->ir_version() : 0; }
connx_text connx_model_producer(const connx_file *file) { return text(file->model->producer_name()); }
const connx_graph *connx_model_graph(const connx_file *file) {
  return file->model && file->model->has_graph() ? out(&file->model->graph()) : nullptr;
}
size_t connx_model_opset_count(const connx_file *file) { return file->model->opset_import_size(); }
connx_text connx_model_opset_domain(const connx_file *file, size_t index) {
  return text(file->model->AT(opset_import).domain());
}
int64_t connx_model_opset_version(const connx_file *file, size_t index) {
  return file->model->AT(opset_import).version();
}
size_t connx_model_metadata_count(const connx_file *file) { return file->model->metadata_props_size(); }
connx_text connx_model_metadata_key(const connx_file *file, size_t index) {
  return text(file->model->AT(metadata_props).key());
}
connx_text connx_model_metadata_value(const connx_file *file, size_t index) {
  return text(file->model->AT(metadata_props).value());
}
size_t connx_model_function_count(const connx_file *file) { return file->functions.size(); }
const connx_function *connx_model_function(const connx_file *file, size_t index) {
  return file->functions[index].get();
}

const connx_tensor *connx_file_tensor(const connx_file *file) { return out(file->tensor.get()); }
const connx_sequence *connx_file_sequence(const connx_file *file) { return out(file->sequence.get()); }
const connx_optional *connx_file_optional(const connx_file *file) { return out(file->optional.get()); }

int32_t connx_sequence_kind(const connx_sequence *sequence) { return in(sequence)->elem_type(); }
size_t connx_sequence_count(const connx_sequence *sequence) {
  const auto *message = in(sequence);
  switch (message->elem_type()) {
    case 1: return message->tensor_values_size();
    case 3: return message->sequence_values_size();
    case 5: return message->optional_values_size();
    default: return 0;
  }
}
const connx_tensor *connx_sequence_tensor(const connx_sequence *sequence, size_t index) {
  return out(&in(sequence)->AT(tensor_values));
}
const connx_sequence *connx_sequence_sequence(const connx_sequence *sequence, size_t index) {
  return out(&in(sequence)->AT(sequence_values));
}
const connx_optional *connx_sequence_optional(const connx_sequence *sequence, size_t index) {
  return out(&in(sequence)->AT(optional_values));
}
int32_t connx_optional_kind(const connx_optional *optional) { return in(optional)->elem_type(); }
const connx_tensor *connx_optional_tensor(const connx_optional *optional) {
  return in(optional)->has_tensor_value() ? out(&in(optional)->tensor_value()) : nullptr;
}
const connx_sequence *connx_optional_sequence(const connx_optional *optional) {
  return in(optional)->has_sequence_value() ? out(&in(optional)->sequence_value()) : nullptr;
}

connx_text connx_graph_name(const connx_graph *graph) { return text(in(graph)->name()); }
size_t connx_graph_node_count(const connx_graph *graph) { return in(graph)->node_size(); }
const connx_node *connx_graph_node(const connx_graph *graph, size_t index) { return out(&in(graph)->AT(node)); }
size_t connx_graph_input_count(const connx_graph *graph) { return in(graph)->input_size(); }
const connx_value_info *connx_graph_input(const connx_graph *graph, size_t index) {
  return out(&in(graph)->AT(input));
}
size_t connx_graph_output_count(const connx_graph *graph) { return in(graph)->output_size(); }
const connx_value_info *connx_graph_output(const connx_graph *graph, size_t index) {
  return out(&in(graph)->AT(output));
}
size_t connx_graph_value_info_count(const connx_graph *graph) { return in(graph)->value_info_size(); }
const connx_value_info *connx_graph_value_info(const connx_graph *graph, size_t index) {
  return out(&in(graph)->AT(value_info));
}
size_t connx_graph_initializer_count(const connx_graph *graph) { return in(graph)->initializer_size(); }
const connx_tensor *connx_graph_initializer(const connx_graph *graph, size_t index) {
  return out(&in(graph)->AT(initializer));
}
size_t connx_graph_sparse_initializer_count(const connx_graph *graph) { return in(graph)->sparse_initializer_size(); }
const connx_sparse *connx_graph_sparse_initializer(const connx_graph *graph, size_t index) {
  return out(&in(graph)->AT(sparse_initializer));
}

connx_text connx_node_name(const connx_node *node) { return text(in(node)->name()); }
connx_text connx_node_operator_type(const connx_node *node) { return text(in(node)->op_type()); }
connx_text connx_node_domain(const connx_node *node) { return text(in(node)->domain()); }
connx_text connx_node_overload(const connx_node *node) {
  return unknown_text(in(node)->unknown_fields(), kNodeOverload);
}
size_t connx_node_input_count(const connx_node *node) { return in(node)->input_size(); }
connx_text connx_node_input(const connx_node *node, size_t index) { return text(in(node)->AT(input)); }
size_t connx_node_output_count(const connx_node *node) { return in(node)->output_size(); }
connx_text connx_node_output(const connx_node *node, size_t index) { return text(in(node)->AT(output)); }
size_t connx_node_attribute_count(const connx_node *node) { return in(node)->attribute_size(); }
const connx_attribute *connx_node_attribute(const connx_node *node, size_t index) {
  return out(&in(node)->AT(attribute));
}

connx_text connx_attribute_name(const connx_attribute *attribute) { return text(in(attribute)->name()); }
int32_t connx_attribute_kind(const connx_attribute *attribute) {
  const auto *message = in(attribute);
  if (message->has_type()) return message->type();
  if (message->has_f()) return 1;
  if (message->has_i()) return 2;
  if (message->has_s()) return 3;
  if (message->has_t()) return 4;
  if (message->has_g()) return 5;
  if (message->floats_size() > 0) return 6;
  if (message->ints_size() > 0) return 7;
  if (message->strings_size() > 0) return 8;
  if (message->tensors_size() > 0) return 9;
  if (message->graphs_size() > 0) return 10;
  if (message->has_sparse_tensor()) return 11;
  if (message->has_tp()) return 13;
  return 0;
}
connx_text connx_attribute_reference(const connx_attribute *attribute) {
  return text(in(attribute)->ref_attr_name());
}
int64_t connx_attribute_int(const connx_attribute *attribute) { return in(attribute)->i(); }
float connx_attribute_float(const connx_attribute *attribute) { return in(attribute)->f(); }
connx_text connx_attribute_string(const connx_attribute *attribute) { return text(in(attribute)->s()); }
const connx_tensor *connx_attribute_tensor(const connx_attribute *attribute) { return out(&in(attribute)->t()); }
const connx_sparse *connx_attribute_sparse(const connx_attribute *attribute) {
  return out(&in(attribute)->sparse_tensor());
}
const connx_graph *connx_attribute_graph(const connx_attribute *attribute) { return out(&in(attribute)->g()); }
const connx_type *connx_attribute_type(const connx_attribute *attribute) { return out(&in(attribute)->tp()); }
connx_array connx_attribute_ints(const connx_attribute *attribute) { return array(in(attribute)->ints()); }
connx_array connx_attribute_floats(const connx_attribute *attribute) { return array(in(attribute)->floats()); }
size_t connx_attribute_string_count(const connx_attribute *attribute) { return in(attribute)->strings_size(); }
connx_text connx_attribute_string_at(const connx_attribute *attribute, size_t index) {
  return text(in(attribute)->AT(strings));
}
size_t connx_attribute_tensor_count(const connx_attribute *attribute) { return in(attribute)->tensors_size(); }
const connx_tensor *connx_attribute_tensor_at(const connx_attribute *attribute, size_t index) {
  return out(&in(attribute)->AT(tensors));
}
size_t connx_attribute_graph_count(const connx_attribute *attribute) { return in(attribute)->graphs_size(); }
const connx_graph *connx_attribute_graph_at(const connx_attribute *attribute, size_t index) {
  return out(&in(attribute)->AT(graphs));
}

connx_text connx_tensor_name(const connx_tensor *tensor) { return text(in(tensor)->name()); }
int32_t connx_tensor_data_type(const connx_tensor *tensor) { return in(tensor)->data_type(); }
connx_array connx_tensor_dims(const connx_tensor *tensor) { return array(in(tensor)->dims()); }
bool connx_tensor_has_raw_data(const connx_tensor *tensor) { return in(tensor)->has_raw_data(); }
connx_text connx_tensor_raw_data(const connx_tensor *tensor) { return text(in(tensor)->raw_data()); }
connx_array connx_tensor_float_data(const connx_tensor *tensor) { return array(in(tensor)->float_data()); }
connx_array connx_tensor_int32_data(const connx_tensor *tensor) { return array(in(tensor)->int32_data()); }
connx_array connx_tensor_int64_data(const connx_tensor *tensor) { return array(in(tensor)->int64_data()); }
connx_array connx_tensor_double_data(const connx_tensor *tensor) { return array(in(tensor)->double_data()); }
connx_array connx_tensor_uint64_data(const connx_tensor *tensor) { return array(in(tensor)->uint64_data()); }
size_t connx_tensor_string_count(const connx_tensor *tensor) { return in(tensor)->string_data_size(); }
connx_text connx_tensor_string(const connx_tensor *tensor, size_t index) {
  return text(in(tensor)->AT(string_data));
}
bool connx_tensor_is_external(const connx_tensor *tensor) {
  return in(tensor)->data_location() == onnx::TensorProto_DataLocation_EXTERNAL;
}
bool connx_tensor_has_segment(const connx_tensor *tensor) { return in(tensor)->has_segment(); }
size_t connx_tensor_external_count(const connx_tensor *tensor) { return in(tensor)->external_data_size(); }
connx_text connx_tensor_external_key(const connx_tensor *tensor, size_t index) {
  return text(in(tensor)->AT(external_data).key());
}
connx_text connx_tensor_external_value(const connx_tensor *tensor, size_t index) {
  return text(in(tensor)->AT(external_data).value());
}

const connx_tensor *connx_sparse_values(const connx_sparse *sparse) { return out(&in(sparse)->values()); }
const connx_tensor *connx_sparse_indices(const connx_sparse *sparse) { return out(&in(sparse)->indices()); }
connx_array connx_sparse_dims(const connx_sparse *sparse) { return array(in(sparse)->dims()); }

connx_text connx_value_info_name(const connx_value_info *info) { return text(in(info)->name()); }
const connx_type *connx_value_info_type(const connx_value_info *info) {
  return in(info)->has_type() ? out(&in(info)->type()) : nullptr;
}

connx_type_kind connx_type_get_kind(const connx_type *type) {
  switch (in(type)->value_case()) {
    case onnx::TypeProto::kTensorType: return CONNX_TYPE_TENSOR;
    case onnx::TypeProto::kSequenceType: return CONNX_TYPE_SEQUENCE;
    case onnx::TypeProto::kMapType: return CONNX_TYPE_MAP;
    case onnx::TypeProto::kOptionalType: return CONNX_TYPE_OPTIONAL;
    case onnx::TypeProto::kSparseTensorType: return CONNX_TYPE_SPARSE_TENSOR;
    case onnx::TypeProto::kOpaqueType: return CONNX_TYPE_OPAQUE;
    default: return CONNX_TYPE_UNKNOWN;
  }
}
int32_t connx_type_tensor_element(const connx_type *type) { return in(type)->tensor_type().elem_type(); }
bool connx_type_tensor_has_shape(const connx_type *type) { return in(type)->tensor_type().has_shape(); }
size_t connx_type_tensor_rank(const connx_type *type) { return in(type)->tensor_type().shape().dim_size(); }
int32_t connx_type_tensor_dim(const connx_type *type, size_t index, int64_t *value, connx_text *name) {
  const auto &dim = in(type)->tensor_type().shape().AT(dim);
  if (dim.has_dim_value()) {
    *value = dim.dim_value();
    return 1;
  }
  if (dim.has_dim_param() && !dim.dim_param().empty()) {
    *name = text(dim.dim_param());
    return 2;
  }
  return 0;
}
const connx_type *connx_type_element(const connx_type *type) {
  const auto *message = in(type);
  if (message->has_sequence_type() && message->sequence_type().has_elem_type())
    return out(&message->sequence_type().elem_type());
  if (message->has_optional_type() && message->optional_type().has_elem_type())
    return out(&message->optional_type().elem_type());
  return nullptr;
}

connx_text connx_function_name(const connx_function *function) { return text(function->proto->name()); }
connx_text connx_function_domain(const connx_function *function) { return text(function->proto->domain()); }
connx_text connx_function_overload(const connx_function *function) {
  return unknown_text(function->proto->unknown_fields(), kFunctionOverload);
}
size_t connx_function_input_count(const connx_function *function) { return function->proto->input_size(); }
connx_text connx_function_input(const connx_function *function, size_t index) {
  return text(function->proto->AT(input));
}
size_t connx_function_output_count(const connx_function *function) { return function->proto->output_size(); }
connx_text connx_function_output(const connx_function *function, size_t index) {
  return text(function->proto->AT(output));
}
size_t connx_function_attribute_name_count(const connx_function *function) {
  return function->proto->attribute_size();
}
connx_text connx_function_attribute_name(const connx_function *function, size_t index) {
  return text(function->proto->AT(attribute));
}
size_t connx_function_default_count(const connx_function *function) { return function->defaults.size(); }
const connx_attribute *connx_function_default(const connx_function *function, size_t index) {
  return out(function->defaults[index].get());
}
size_t connx_function_node_count(const connx_function *function) { return function->proto->node_size(); }
const connx_node *connx_function_node(const connx_function *function, size_t index) {
  return out(&function->proto->AT(node));
}
size_t connx_function_opset_count(const connx_function *function) { return function->proto->opset_import_size(); }
connx_text connx_function_opset_domain(const connx_function *function, size_t index) {
  return text(function->proto->AT(opset_import).domain());
}
int64_t connx_function_opset_version(const connx_function *function, size_t index) {
  return function->proto->AT(opset_import).version();
}

}  // extern "C"
