//! vCPUs on the command line.
//!
//! Source: `KVM_CREATE_VCPU`, `MPIDR_EL1`.
//!
//! Rule: a number is a count, with the affinities that KVM gives by default; a list names each.

use vgic_state::{Mpidr, Vcpu, VcpuId, Vcpus};

/// `4`, or `0=0.0.0.0,2=0.0.1.0`, or `0,2,5`.
pub(crate) fn vcpus(text: &str) -> Result<Vcpus, String> {
    if let Ok(count) = text.parse() {
        return Vcpus::with_default_mpidrs(count).map_err(|error| error.to_string());
    }
    let list: Result<Vec<Vcpu>, String> = text.split(',').filter(|word| !word.is_empty()).map(vcpu).collect();
    Vcpus::new(list?).map_err(|error| error.to_string())
}

fn vcpu(text: &str) -> Result<Vcpu, String> {
    let wrong = || format!("{text}: a vCPU is ID or ID=A.B.C.D, such as 2=0.0.1.0");
    let (id, affinity) = text.split_once('=').map_or((text, None), |(id, affinity)| (id, Some(affinity)));
    let id: u32 = id.parse().map_err(|_| wrong())?;
    let Some(affinity) = affinity else { return Vcpu::with_default_mpidr(id).map_err(|error| error.to_string()) };
    let fields: Result<Vec<u8>, _> = affinity.split('.').map(str::parse).collect();
    match fields.as_deref() {
        Ok([aff3, aff2, aff1, aff0]) => {
            let id = VcpuId::new(id).map_err(|error| error.to_string())?;
            Ok(Vcpu { id, mpidr: Mpidr::new(*aff3, *aff2, *aff1, *aff0) })
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_or_a_list() {
        assert_eq!(vcpus("4"), Ok(Vcpus::with_default_mpidrs(4).unwrap()));
        let listed = vcpus("0=0.0.0.1,2=1.2.3.4").unwrap();
        assert_eq!(listed.iter().map(|vcpu| vcpu.to_string()).collect::<Vec<_>>(), ["vCPU 0 (0.0.0.1)", "vCPU 2 (1.2.3.4)"]);
        assert_eq!(vcpus("0,2").unwrap().len(), 2);
        for text in ["0", "", "600", "x", "1=1.2.3", "1,1"] {
            assert!(vcpus(text).is_err(), "{text}");
        }
    }
}
