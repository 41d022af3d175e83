// GroupNorm followed by an optional SiLU, forward and backward, for contiguous NCHW tensors on the CPU.
// Activations are float32 or bfloat16; statistics, scale, shift and their gradients are float32.

#include <ATen/Parallel.h>
#include <torch/extension.h>

#include <cmath>
#include <cstdint>
#include <vector>

namespace {

struct Bfloat16 {
    uint16_t bits;
};

inline float load(const float *source) { return *source; }
inline void store(float *target, float value) { *target = value; }

inline float load(const Bfloat16 *source) {
    const uint32_t bits = static_cast<uint32_t>(source->bits) << 16;
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

// Rounds to nearest even.
inline void store(Bfloat16 *target, float value) {
    uint32_t bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    bits += 0x7fff + ((bits >> 16) & 1);
    target->bits = static_cast<uint16_t>(bits >> 16);
}

struct Shape {
    int64_t batch, channels, pixels, groups;
    int64_t channels_per_group() const { return channels / groups; }
    int64_t group_elements() const { return channels_per_group() * pixels; }
};

template <class Element>
void forward_kernel(const Element *input, Element *output, const float *scale, const float *shift, float *mean,
                    float *inverse_deviation, Shape shape, float epsilon, bool silu) {
    const int64_t elements = shape.group_elements();
    at::parallel_for(0, shape.batch * shape.groups, 1, [&](int64_t begin, int64_t end) {
        for (int64_t index = begin; index < end; index++) {
            const Element *group_input = input + index * elements;
            Element *group_output = output + index * elements;
            float sum = 0, sum_of_squares = 0;
            for (int64_t i = 0; i < elements; i++) {
                const float value = load(group_input + i);
                sum += value;
                sum_of_squares += value * value;
            }
            const float mu = sum / elements;
            const float variance = std::max(sum_of_squares / elements - mu * mu, 0.0f);
            const float inverse = 1.0f / std::sqrt(variance + epsilon);
            mean[index] = mu;
            inverse_deviation[index] = inverse;
            for (int64_t d = 0; d < shape.channels_per_group(); d++) {
                const int64_t channel = (index % shape.groups) * shape.channels_per_group() + d;
                const float a = scale[channel] * inverse;
                const float b = shift[channel] - mu * a;
                const Element *row = group_input + d * shape.pixels;
                Element *result = group_output + d * shape.pixels;
                if (silu) {
                    for (int64_t i = 0; i < shape.pixels; i++) {
                        const float h = load(row + i) * a + b;
                        store(result + i, h / (1.0f + expf(-h)));
                    }
                } else {
                    for (int64_t i = 0; i < shape.pixels; i++) store(result + i, load(row + i) * a + b);
                }
            }
        }
    });
}

// scale_gradient and shift_gradient are (batch, channels): the caller sums over the batch.
template <class Element>
void backward_kernel(const Element *output_gradient, const Element *input, Element *input_gradient,
                     const float *scale, const float *shift, const float *mean, const float *inverse_deviation,
                     float *scale_gradient, float *shift_gradient, Shape shape, bool silu) {
    const int64_t elements = shape.group_elements();
    at::parallel_for(0, shape.batch * shape.groups, 1, [&](int64_t begin, int64_t end) {
        std::vector<float> normalized_gradient(elements);
        for (int64_t index = begin; index < end; index++) {
            const float mu = mean[index], inverse = inverse_deviation[index];
            const int64_t n = index / shape.groups;
            float mean_gradient = 0, mean_projection = 0;
            for (int64_t d = 0; d < shape.channels_per_group(); d++) {
                const int64_t channel = (index % shape.groups) * shape.channels_per_group() + d;
                const int64_t offset = index * elements + d * shape.pixels;
                const float a = scale[channel] * inverse, b = shift[channel] - mu * a;
                float *row = normalized_gradient.data() + d * shape.pixels;
                float shift_sum = 0, scale_sum = 0;
                if (silu) {
                    for (int64_t i = 0; i < shape.pixels; i++) {
                        const float value = load(input + offset + i);
                        const float h = value * a + b;
                        const float sigmoid = 1.0f / (1.0f + expf(-h));
                        const float g = load(output_gradient + offset + i) * sigmoid * (1.0f + h * (1.0f - sigmoid));
                        row[i] = g;
                        shift_sum += g;
                        scale_sum += g * (value - mu);
                    }
                } else {
                    for (int64_t i = 0; i < shape.pixels; i++) {
                        const float g = load(output_gradient + offset + i);
                        row[i] = g;
                        shift_sum += g;
                        scale_sum += g * (load(input + offset + i) - mu);
                    }
                }
                scale_sum *= inverse;
                scale_gradient[n * shape.channels + channel] = scale_sum;
                shift_gradient[n * shape.channels + channel] = shift_sum;
                mean_gradient += scale[channel] * shift_sum;
                mean_projection += scale[channel] * scale_sum;
            }
            mean_gradient /= elements;
            mean_projection /= elements;
            for (int64_t d = 0; d < shape.channels_per_group(); d++) {
                const int64_t channel = (index % shape.groups) * shape.channels_per_group() + d;
                const int64_t offset = index * elements + d * shape.pixels;
                const float *row = normalized_gradient.data() + d * shape.pixels;
                const float of_gradient = inverse * scale[channel];
                const float of_input = -inverse * inverse * mean_projection;
                const float constant = inverse * (mu * inverse * mean_projection - mean_gradient);
                for (int64_t i = 0; i < shape.pixels; i++) {
                    store(input_gradient + offset + i,
                          of_gradient * row[i] + of_input * load(input + offset + i) + constant);
                }
            }
        }
    });
}

Shape shape_of(const at::Tensor &input, int64_t groups) {
    const int64_t batch = input.size(0), channels = input.size(1);
    return {batch, channels, input.numel() / (batch * channels), groups};
}

template <class Element>
Element *data(const at::Tensor &tensor) {
    return static_cast<Element *>(tensor.data_ptr());
}

}  // namespace

// Returns output, mean and inverse deviation; the latter two are (batch * groups).
std::vector<at::Tensor> forward(at::Tensor input, at::Tensor scale, at::Tensor shift, int64_t groups,
                                double epsilon, bool silu) {
    TORCH_CHECK(input.is_contiguous() && scale.scalar_type() == at::kFloat && shift.scalar_type() == at::kFloat);
    const Shape shape = shape_of(input, groups);
    at::Tensor output = at::empty_like(input);
    at::Tensor mean = at::empty({shape.batch * groups}, scale.options());
    at::Tensor inverse = at::empty_like(mean);
    const auto run = [&](auto *element) {
        using Element = std::remove_pointer_t<decltype(element)>;
        forward_kernel(data<Element>(input), data<Element>(output), data<float>(scale), data<float>(shift),
                       data<float>(mean), data<float>(inverse), shape, static_cast<float>(epsilon), silu);
    };
    if (input.scalar_type() == at::kFloat) run(static_cast<float *>(nullptr));
    else run(static_cast<Bfloat16 *>(nullptr));
    return {output, mean, inverse};
}

// Returns the gradients of input, scale and shift.
std::vector<at::Tensor> backward(at::Tensor output_gradient, at::Tensor input, at::Tensor scale, at::Tensor shift,
                                 at::Tensor mean, at::Tensor inverse, int64_t groups, bool silu) {
    TORCH_CHECK(input.is_contiguous());
    const Shape shape = shape_of(input, groups);
    output_gradient = output_gradient.to(input.scalar_type()).contiguous();
    at::Tensor input_gradient = at::empty_like(input);
    at::Tensor scale_gradient = at::empty({shape.batch, shape.channels}, scale.options());
    at::Tensor shift_gradient = at::empty_like(scale_gradient);
    const auto run = [&](auto *element) {
        using Element = std::remove_pointer_t<decltype(element)>;
        backward_kernel(data<Element>(output_gradient), data<Element>(input), data<Element>(input_gradient),
                        data<float>(scale), data<float>(shift), data<float>(mean), data<float>(inverse),
                        data<float>(scale_gradient), data<float>(shift_gradient), shape, silu);
    };
    if (input.scalar_type() == at::kFloat) run(static_cast<float *>(nullptr));
    else run(static_cast<Bfloat16 *>(nullptr));
    return {input_gradient, scale_gradient.sum(0), shift_gradient.sum(0)};
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
    module.def("forward", &forward);
    module.def("backward", &backward);
}
