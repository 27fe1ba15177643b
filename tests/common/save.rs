//! A flush and the save behind it, for tests that need no look at what is between the two.

use vgic_state::{DynInterruptState, Error, InterruptState};

pub(crate) trait Save: InterruptState {
    fn flush_and_save(&mut self) -> Result<Self::State<'static>, Error> {
        let flushed = self.flush_tables()?;
        self.save(flushed)
    }
}

impl<T: InterruptState + ?Sized> Save for T {}

pub(crate) trait SaveImage: DynInterruptState {
    fn flush_and_save_image(&mut self, image: &mut [u8]) -> Result<usize, Error> {
        let flushed = self.flush_tables()?;
        self.save_image(flushed, image)
    }
}

impl<T: DynInterruptState + ?Sized> SaveImage for T {}
