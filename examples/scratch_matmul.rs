//! scratch
use wgpu::*;
#[repr(C)]
struct Ts(i64, i64);
unsafe extern "C" {
    fn clock_gettime(id: i32, t: *mut Ts) -> i32;
}
fn cpu() -> f64 {
    let mut t = Ts(0, 0);
    unsafe { clock_gettime(2, &mut t) };
    t.0 as f64 + t.1 as f64 * 1e-9
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let src = a[1].split(',').map(|p| std::fs::read_to_string(p).unwrap()).collect::<String>();
    let n_: Vec<usize> = a[2..].iter().map(|v| v.parse().unwrap()).collect();
    let (cols, rows_g, m, n, k) = (n_[0], n_[1], n_[2], n_[3], n_[4]);
    let reps = *n_.get(5).unwrap_or(&30);
    let consts: Vec<(&str, f64)> = vec![("workgroup_size", *n_.get(6).unwrap_or(&8) as f64)];
    let inst = Instance::new(InstanceDescriptor::new_without_display_handle());
    let ad = pollster::block_on(inst.enumerate_adapters(Backends::VULKAN)).remove(0);
    let (dev, q) = pollster::block_on(ad.request_device(&DeviceDescriptor {
        required_limits: Limits { max_storage_buffer_binding_size: 1 << 27, ..Default::default() },
        ..Default::default()
    }))
    .unwrap();
    let sm = unsafe {
        dev.create_shader_module_trusted(
            ShaderModuleDescriptor { label: None, source: ShaderSource::Wgsl(src.into()) },
            ShaderRuntimeChecks::unchecked(),
        )
    };
    let stride = n.next_multiple_of(cols);
    let rnd = |i: usize| ((i as u32).wrapping_mul(2654435761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
    let x: Vec<f32> = (0..m * k).map(rnd).collect();
    let w: Vec<f32> = (0..stride * k).map(|i| rnd(i + 77777)).collect();
    let buf = |b: &[u8], u: BufferUsages| {
        let bf = dev.create_buffer(&BufferDescriptor {
            label: None,
            size: b.len() as u64,
            usage: u | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        q.write_buffer(&bf, 0, b);
        bf
    };
    let p: Vec<u32> = vec![m as u32, k as u32, n as u32, 0, n as u32, (stride / 4) as u32];
    let bx = buf(bytemuck::cast_slice(&x), BufferUsages::STORAGE);
    let bw = buf(bytemuck::cast_slice(&w), BufferUsages::STORAGE);
    let bp = buf(bytemuck::cast_slice(&p), BufferUsages::UNIFORM);
    let bd = buf(&[0; 64], BufferUsages::STORAGE);
    let bo = buf(&vec![0; m * n * 4], BufferUsages::STORAGE | BufferUsages::COPY_SRC);
    let st = dev.create_buffer(&BufferDescriptor {
        label: None,
        size: (m * n * 4) as u64,
        usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let ent = |b, ty| BindGroupLayoutEntry {
        binding: b,
        visibility: ShaderStages::COMPUTE,
        ty: BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    };
    let ro = BufferBindingType::Storage { read_only: true };
    let lay = dev.create_bind_group_layout(&BindGroupLayoutDescriptor {
        label: None,
        entries: &[
            ent(0, BufferBindingType::Uniform),
            ent(1, ro),
            ent(2, ro),
            ent(3, ro),
            ent(4, ro),
            ent(5, BufferBindingType::Storage { read_only: false }),
        ],
    });
    let pl = dev.create_pipeline_layout(&PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(&lay)],
        immediate_size: 0,
    });
    let pipe = dev.create_compute_pipeline(&ComputePipelineDescriptor {
        label: None,
        layout: Some(&pl),
        module: &sm,
        entry_point: Some("main"),
        compilation_options: PipelineCompilationOptions {
            constants: &consts,
            zero_initialize_workgroup_memory: false,
        },
        cache: None,
    });
    let be = |i, b: &wgpu::Buffer| BindGroupEntry {
        binding: i,
        resource: BindingResource::Buffer(BufferBinding {
            buffer: unsafe { &*(b as *const _) },
            offset: 0,
            size: None,
        }),
    };
    let bg = dev.create_bind_group(&BindGroupDescriptor {
        label: None,
        layout: &lay,
        entries: &[be(0, &bp), be(1, &bx), be(2, &bw), be(3, &bd), be(4, &bd), be(5, &bo)],
    });
    let run = |reps: usize| {
        let mut e = dev.create_command_encoder(&Default::default());
        {
            let mut c = e.begin_compute_pass(&Default::default());
            c.set_pipeline(&pipe);
            c.set_bind_group(0, &bg, &[]);
            for _ in 0..reps {
                c.dispatch_workgroups((stride / cols) as u32, m.div_ceil(rows_g) as u32, 1);
            }
        }
        e.copy_buffer_to_buffer(&bo, 0, &st, 0, (m * n * 4) as u64);
        let s = q.submit([e.finish()]);
        dev.poll(PollType::Wait { submission_index: Some(s), timeout: None }).unwrap();
    };
    run(1);
    st.map_async(MapMode::Read, .., |r| r.unwrap());
    dev.poll(PollType::wait_indefinitely()).unwrap();
    let v: Vec<f32> = bytemuck::cast_slice(&st.get_mapped_range(..).unwrap()).to_vec();
    st.unmap();
    let mut err = 0f64;
    for r in (0..m).step_by(7) {
        for c in (0..n).step_by(5) {
            let mut s = 0f64;
            for i in 0..k {
                s += x[r * k + i] as f64 * w[i * stride + c] as f64;
            }
            let d = (s - v[r * n + c] as f64).abs();
            if !(d <= err) {
                err = d;
            }
        }
    }
    let fl = 2.0 * (m * n * k * reps) as f64 / 1e9;
    let (mut bw, mut bc) = (f64::MAX, f64::MAX);
    for _ in 0..12 {
        let (t, c0) = (std::time::Instant::now(), cpu());
        run(reps);
        bw = bw.min(t.elapsed().as_secs_f64());
        bc = bc.min(cpu() - c0);
    }
    println!(
        "{} wg{}: wall {:.2} GF/s, per cpu-second {:.2} err {err:.1e}",
        a[1].rsplit('/').next().unwrap(),
        n_.get(6).unwrap_or(&8),
        fl / bw,
        fl / bc
    );
}
