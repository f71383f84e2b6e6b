//! What operators ask for, carried out on the control tables.

use async_trait::async_trait;

use super::backend::ServiceBackend;
use crate::api::{
    Asked, GenerationDetail, Operation, Operations, Problem, Rebuild, VerificationStatus,
    VerifyRequest,
};
use crate::generation::{Plan, RebuildRequest};

#[async_trait]
impl Operations for ServiceBackend {
    async fn plan(&self, _projection: Option<&str>) -> Result<Vec<Plan>, Problem> {
        Err(Problem::unavailable("not built yet"))
    }

    async fn rebuild(
        &self,
        _projection: &str,
        _request: RebuildRequest,
        _asked: Asked,
    ) -> Result<Rebuild, Problem> {
        Err(Problem::unavailable("not built yet"))
    }

    async fn generation(
        &self,
        _projection: &str,
        _number: u32,
    ) -> Result<GenerationDetail, Problem> {
        Err(Problem::unavailable("not built yet"))
    }

    async fn operate(
        &self,
        _projection: &str,
        _number: Option<u32>,
        _operation: Operation,
        _asked: Asked,
    ) -> Result<GenerationDetail, Problem> {
        Err(Problem::unavailable("not built yet"))
    }

    async fn drop_projection(&self, _projection: &str, _asked: Asked) -> Result<(), Problem> {
        Err(Problem::unavailable("not built yet"))
    }

    async fn verify(
        &self,
        _projection: &str,
        _request: VerifyRequest,
        _asked: Asked,
    ) -> Result<i64, Problem> {
        Err(Problem::unavailable("not built yet"))
    }

    async fn verification(
        &self,
        _projection: &str,
        _id: i64,
    ) -> Result<VerificationStatus, Problem> {
        Err(Problem::unavailable("not built yet"))
    }
}
